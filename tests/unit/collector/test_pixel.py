"""GET /i.gif."""

import uuid

import pytest

from collector.fields import MAX_BODY_BYTES
from collector.live import GIF
from schemas.ids import is_minted
from tests.unit.collector.support import NOW, VISITOR, Collector, field_of


def test_a_hit_becomes_an_impression_under_its_visitors_route() -> None:
    collector = Collector()
    response = collector.get(
        "/i.gif",
        {
            "campaign": "spring",
            "affiliate": "a-1",
            "offer": "o_1",
            "creative": "k.1",
            "utm_source": "news letter",
            "utm_medium": "email",
            "sub1": "äöü",
            "sub5": "five",
            "vid": VISITOR,
            "ref": "https://news.example/story?id=1",
            "url": "https://shop.example/landing",
            "consent": "granted",
            "something": "else",
        },
        headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.0.0"},
    )
    assert response.status_code == 200
    ((record, event),) = collector.sent
    assert record.topic == "impressions"
    assert record.key == VISITOR[:4].encode()
    assert record.timestamp == NOW
    assert event == {
        "received_at": NOW,
        "occurred_at": NOW,
        "event_id": response.headers["x-funnel-event-id"],
        "ip": "198.51.100.0",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.0.0",
        "visitor_id": VISITOR,
        "campaign": "spring",
        "affiliate": "a-1",
        "offer": "o_1",
        "creative": "k.1",
        "utm_source": "news letter",
        "utm_medium": "email",
        "utm_campaign": "",
        "utm_term": "",
        "utm_content": "",
        "referrer": "https://news.example/story?id=1",
        "landing_url": "https://shop.example/landing",
        "sub1": "äöü",
        "sub2": "",
        "sub3": "",
        "sub4": "",
        "sub5": "five",
        "consent": "granted",
    }


def test_the_answer_is_a_transparent_gif_that_nobody_may_store() -> None:
    response = Collector().get("/i.gif")
    assert len(GIF) == 43
    assert response.content == GIF
    assert response.headers["content-type"] == "image/gif"
    assert response.headers["cache-control"] == "no-store"
    assert uuid.UUID(response.headers["x-funnel-event-id"]).version == 4


def test_a_new_visitor_gets_a_cookie_and_is_known_by_it() -> None:
    collector = Collector()
    first = collector.get("/i.gif")
    visitor = first.cookies["fv"]
    assert is_minted(visitor)
    assert "HttpOnly" in first.headers["set-cookie"]
    assert "SameSite=None; Secure" in first.headers["set-cookie"]
    second = collector.get("/i.gif", headers={"cookie": f"theme=dark; fv={visitor}; x=y"})
    assert "set-cookie" not in second.headers
    assert [event["visitor_id"] for _, event in collector.sent] == [visitor, visitor]


def test_without_https_the_cookie_does_not_ask_for_it() -> None:
    assert "SameSite=Lax" in Collector(cookie_secure=False).get("/i.gif").headers["set-cookie"]


def test_a_cookie_that_we_did_not_mint_is_replaced() -> None:
    collector = Collector()
    response = collector.get("/i.gif", headers={"cookie": "fv=hand-made"})
    assert collector.event["visitor_id"] == response.cookies["fv"] != "hand-made"


def test_a_named_visitor_wins_over_the_cookie_and_is_not_remembered() -> None:
    collector = Collector()
    response = collector.get("/i.gif", {"visitor": "crm-7"}, headers={"cookie": f"fv={VISITOR}"})
    assert collector.event["visitor_id"] == "crm-7"
    assert "set-cookie" not in response.headers


def test_denied_consent_neither_reads_nor_sets_the_cookie() -> None:
    collector = Collector()
    response = collector.get("/i.gif", {"consent": "denied"}, headers={"cookie": f"fv={VISITOR}"})
    assert "set-cookie" not in response.headers
    assert collector.event["visitor_id"] != VISITOR
    assert collector.event["consent"] == "denied"


def test_the_referrer_is_the_header_where_no_parameter_names_it() -> None:
    collector = Collector()
    collector.get("/i.gif", headers={"referer": "https://blog.example/post"})
    assert collector.event["referrer"] == "https://blog.example/post"


def test_utm_parameters_are_taken_from_the_landing_url_where_the_request_has_none() -> None:
    collector = Collector()
    url = "https://shop.example/?utm_source=google&utm_medium=cpc&utm_term=red+shoes"
    collector.get("/i.gif", {"url": url})
    event = collector.event
    assert (event["utm_source"], event["utm_medium"], event["utm_term"]) == ("google", "cpc", "red shoes")


def test_utm_parameters_of_the_request_are_not_mixed_with_those_of_the_landing_url() -> None:
    collector = Collector()
    collector.get(
        "/i.gif", {"url": "https://shop.example/?utm_source=google&utm_medium=cpc", "utm_source": "bing"}
    )
    assert (collector.event["utm_source"], collector.event["utm_medium"]) == ("bing", "")


def test_a_given_event_id_is_kept_in_lower_case() -> None:
    collector = Collector()
    given = "6F1C1D56-5F0E-4D0B-9A57-2F4A4C3AB3F1"
    response = collector.get("/i.gif", {"event_id": given})
    assert collector.event["event_id"] == given.lower() == response.headers["x-funnel-event-id"]


def test_a_live_event_cannot_be_backdated() -> None:
    collector = Collector()
    collector.get("/i.gif", {"occurred_at": "2020-01-01T00:00:00Z"})
    assert collector.event["occurred_at"] == NOW


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"campaign": "c" * 257}, "campaign"),
        ({"campaign": "ä" * 129}, "campaign"),
        ({"vid": "v" * 257}, "visitor_id"),
        ({"utm_source": "s" * 513}, "utm_source"),
        ({"sub3": "s" * 513}, "sub3"),
        ({"url": "https://shop.example/" + "x" * 4096}, "landing_url"),
        ({"consent": "maybe"}, "consent"),
        ({"event_id": "7"}, "event_id"),
        ({"creative": "two\nlines"}, "creative"),
        ({"affiliate": "jane@mail.example"}, "affiliate"),
    ],
)
def test_bad_input_is_refused_by_the_name_of_its_field(parameters: dict[str, str], field: str) -> None:
    collector = Collector()
    assert field_of(collector.get("/i.gif", parameters)) == field
    assert not collector.sent


def test_what_is_not_utf8_is_refused_by_the_name_of_its_field() -> None:
    assert field_of(Collector().call("GET", "/i.gif?campaign=%ff")) == "campaign"
    assert field_of(Collector().call("GET", "/i.gif?sub1=a%00b")) == "sub1"


def test_headers_that_are_too_long_are_cut_not_refused() -> None:
    collector = Collector()
    response = collector.get(
        "/i.gif", headers={"user-agent": "M" * 2000, "referer": "https://x.example/" + "p" * 9000}
    )
    assert response.status_code == 200
    assert len(collector.event["user_agent"]) == 512
    assert len(collector.event["referrer"]) == 4096


def test_of_a_parameter_given_twice_the_first_that_is_not_empty_counts() -> None:
    collector = Collector()
    collector.call("GET", "/i.gif?campaign=&campaign=one&campaign=two&&=&x")
    assert collector.event["campaign"] == "one"


@pytest.mark.parametrize("name", ["Sec-GPC", "DNT"])
@pytest.mark.parametrize("consent", ["", "granted", "unknown"])
def test_who_objects_is_counted_but_not_remembered(name: str, consent: str) -> None:
    collector = Collector()
    headers = {name: "1", "cookie": f"fv={VISITOR}"}
    response = collector.get("/i.gif", {"campaign": "spring", "consent": consent}, headers=headers)
    assert response.status_code == 200
    assert "set-cookie" not in response.headers
    event = collector.event
    assert event["visitor_id"] != VISITOR
    assert (event["campaign"], event["consent"]) == ("spring", "denied")


@pytest.mark.parametrize("headers", [{"DNT": "0"}, {"Sec-GPC": "0"}, {"DNT": "unspecified"}])
def test_who_does_not_object_is_remembered(headers: dict[str, str]) -> None:
    collector = Collector()
    assert "fv" in collector.get("/i.gif", headers=headers).cookies
    assert collector.event["consent"] != "denied"


def test_a_form_is_the_same_impression() -> None:
    collector = Collector()
    response = collector.call(
        "POST",
        "/i.gif?campaign=ignored",
        data={"campaign": "spring", "ref": "https://news.example/", "x": "y"},
    )
    assert (response.status_code, response.content) == (200, GIF)
    event = collector.event
    assert (event["campaign"], event["referrer"]) == ("spring", "https://news.example/")
    assert response.headers["x-funnel-event-id"] == event["event_id"]


def test_a_form_that_is_none_or_too_large_is_refused() -> None:
    collector = Collector()
    assert collector.call("POST", "/i.gif", content="campaign=spring").status_code == 415
    assert collector.call("POST", "/i.gif", data={"url": "x" * MAX_BODY_BYTES}).status_code == 413
    assert collector.sent == []


def test_what_the_site_remembers_holds_where_the_browser_has_no_cookie() -> None:
    collector = Collector()
    response = collector.get("/i.gif", {"site_visitor": VISITOR})
    assert collector.event["visitor_id"] == VISITOR == response.cookies["fv"]


@pytest.mark.parametrize(
    ("parameters", "headers"),
    [
        ({}, {"cookie": f"fv={'wxyz' + 'a' * 26}"}),
        ({"visitor": "crm-7"}, {}),
        ({"consent": "denied"}, {}),
        ({}, {"sec-gpc": "1"}),
    ],
)
def test_what_the_site_remembers_comes_last_and_needs_consent(
    parameters: dict[str, str], headers: dict[str, str]
) -> None:
    collector = Collector()
    response = collector.get("/i.gif", {"site_visitor": VISITOR} | parameters, headers=headers)
    assert collector.event["visitor_id"] != VISITOR
    assert "set-cookie" not in response.headers


def test_what_the_site_made_up_is_not_taken_for_a_visitor() -> None:
    collector = Collector()
    response = collector.get("/i.gif", {"site_visitor": "hand-made"})
    assert is_minted(collector.event["visitor_id"])
    assert response.cookies["fv"] == collector.event["visitor_id"]


def test_cookies_may_come_in_several_headers() -> None:
    collector = Collector()
    collector.call(
        "GET", "/i.gif", headers=[("cookie", "a=b"), ("cookie", f"fv={VISITOR}"), ("cookie", "c=d")]
    )
    assert collector.event["visitor_id"] == VISITOR


@pytest.mark.parametrize("days", [1, 400])
def test_the_cookie_lives_as_long_as_it_is_told(days: int) -> None:
    header = Collector(cookie_days=days).get("/i.gif").headers["set-cookie"]
    assert f"; Max-Age={days * 86_400};" in header
