"""GET /c and the targets it may lead to."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import FieldError
from collector.links import (
    MACROS,
    check_target,
    check_template,
    expand,
    load_links,
    sign,
    with_parameters,
)
from schemas.ids import is_minted
from tests.unit.collector.support import LINK_KEY, NOW, VISITOR, Collector, field_of

TARGET = "https://shop.example/p?sku=7"


def signed(target: str, key: str = LINK_KEY) -> dict[str, str]:
    return {"to": target, "sig": sign(target, key)}


def ending(at: int | str, target: str = TARGET) -> dict[str, str]:
    return {"to": target, "exp": str(at), "sig": sign(target, LINK_KEY, str(at))}


def test_a_signed_target_is_followed_with_the_clicks_id() -> None:
    collector = Collector()
    response = collector.get("/c", signed(TARGET) | {"campaign": "spring", "vid": VISITOR})
    assert response.status_code == 302
    ((record, event),) = collector.sent
    assert response.headers["location"] == f"{TARGET}&funnel_click={event['click_id']}"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-funnel-event-id"] == event["event_id"]
    assert record.topic == "clicks"
    assert record.key == VISITOR[:4].encode()
    assert event["click_id"][:4] == VISITOR[:4]
    assert is_minted(event["click_id"])
    assert event["landing_url"] == TARGET
    assert event["campaign"] == "spring"


def test_a_link_with_an_end_is_followed_until_then() -> None:
    assert Collector().get("/c", ending(NOW // 1000 + 1)).status_code == 302


def test_a_new_visitors_click_is_on_the_visitors_route() -> None:
    collector = Collector()
    response = collector.get("/c", signed(TARGET))
    event = collector.event
    assert response.cookies["fv"] == event["visitor_id"]
    assert event["click_id"][:4] == event["visitor_id"][:4]
    assert event["click_id"] != event["visitor_id"]


def test_a_configured_link_keeps_its_query_and_fragment() -> None:
    collector = Collector()
    response = collector.get("/c", {"link": "shop"})
    click_id = collector.event["click_id"]
    assert response.headers["location"] == f"https://shop.example/buy?lang=en&funnel_click={click_id}#top"


PARTNER = "https://shop.example/in?aff={affiliate}&s={sub1}&cid={click_id}&x={external_id}#top"


def test_a_short_link_is_a_configured_link() -> None:
    collector = Collector()
    response = collector.get("/c/shop", {"campaign": "spring"})
    event = collector.event
    assert (
        response.headers["location"]
        == f"https://shop.example/buy?lang=en&funnel_click={event['click_id']}#top"
    )
    assert (event["campaign"], event["landing_url"]) == ("spring", "https://shop.example/buy?lang=en")


def test_macros_become_what_the_click_has() -> None:
    collector = Collector(links={"shop": PARTNER})
    given = {"affiliate": "a&b=1#", "sub1": "é{sub2}", "gclid": "G1"}
    response = collector.get("/c/shop", given)
    event = collector.event
    parts = urlsplit(response.headers["location"])
    assert (parts.netloc, parts.path, parts.fragment) == ("shop.example", "/in", "top")
    assert parse_qs(parts.query) == {
        "aff": ["a&b=1#"],
        "s": ["é{sub2}"],
        "cid": [event["click_id"]],
        "x": ["G1"],
        "gclid": ["G1"],
        "funnel_click": [event["click_id"]],
    }
    assert event["external_id"] == "G1"


def test_a_macro_without_a_value_leaves_nothing_behind() -> None:
    collector = Collector(links={"shop": "https://shop.example/?s={sub1}&t={sub2}"})
    location = collector.get("/c/shop", {"sub2": "x"}).headers["location"]
    assert location == f"https://shop.example/?s=&t=x&funnel_click={collector.event['click_id']}"


def test_a_macro_hands_on_what_is_recorded_and_no_more() -> None:
    collector = Collector(links={"shop": "https://shop.example/?s={sub1}"})
    location = collector.get("/c/shop", {"sub1": "jane@mail.example"}).headers["location"]
    assert "mail.example" not in location
    assert parse_qs(urlsplit(location).query)["s"] == [collector.event["sub1"]]


@pytest.mark.parametrize("query", [{"link": "shop"}, signed(TARGET)], ids=["link", "to"])
def test_a_link_in_the_path_stands_alone(query: dict[str, str]) -> None:
    collector = Collector()
    assert field_of(collector.get("/c/shop", query)) == "link"
    assert collector.sent == []


@pytest.mark.parametrize("path", ["/c/unheard-of", "/c/shop/", "/c/../shop"])
def test_a_link_that_is_not_configured_is_refused(path: str) -> None:
    assert Collector().get(path, {}).status_code in (400, 404)


def test_macros_work_in_configured_targets_only() -> None:
    assert field_of(Collector().get("/c", signed("https://shop.example/?s={sub1}"))) == "to"


@pytest.mark.parametrize(
    "template",
    [
        "https://{sub1}/",
        "https://shop.example/{sub1}",
        "{sub1}://shop.example/?a=1",
        "https://shop.example{sub1}?a=1",
        "https://shop.example/?a={email}",
        "https://shop.example/?a={}",
        "https://shop.example/?a={sub1",
        "https://shop.example/?a=sub1}",
        "https://shop.example/?a={{sub1}}",
    ],
)
def test_a_macro_anywhere_but_in_the_query_or_unknown_is_refused(template: str) -> None:
    with pytest.raises(FieldError) as refused:
        check_template(template, "shop")
    assert refused.value.field == "shop"


@given(st.dictionaries(st.sampled_from(sorted(MACROS)), st.text(max_size=40)))
def test_no_value_leads_anywhere_else(values: dict[str, str]) -> None:
    values = {name: value.encode("utf-8", "ignore").decode() for name, value in values.items()}
    template = check_template(
        "https://shop.example/in?" + "&".join(f"{name}={{{name}}}" for name in sorted(MACROS)), "x"
    )
    expanded = check_target(expand(template, values))
    assert urlsplit(expanded)[:3] == ("https", "shop.example", "/in")
    found = parse_qs(urlsplit(expanded).query, keep_blank_values=True)
    assert found == {name: [values.get(name, "")] for name in MACROS}


def test_a_retired_key_still_opens_its_links_and_padding_does_no_harm() -> None:
    parameters = signed(TARGET, "retired-key")
    parameters["sig"] += "="
    assert Collector().get("/c", parameters).status_code == 302


@pytest.mark.parametrize("name", ["gclid", "msclkid", "fbclid", "ttclid", "dclid"])
def test_an_advertising_click_id_is_kept_and_handed_on(name: str) -> None:
    collector = Collector()
    response = collector.get("/c", signed(TARGET) | {name: "Cj0-K_x/1"})
    assert collector.event["external_id"] == "Cj0-K_x/1"
    assert collector.event["landing_url"] == f"{TARGET}&{name}=Cj0-K_x%2F1"
    assert parse_qs(urlsplit(response.headers["location"]).query)[name] == ["Cj0-K_x/1"]


def test_an_external_id_wins_over_advertising_click_ids() -> None:
    collector = Collector()
    collector.get("/c", signed(TARGET) | {"gclid": "g", "external_id": "net-1"})
    assert collector.event["external_id"] == "net-1"


def test_an_advertising_click_id_of_the_target_is_found() -> None:
    collector = Collector()
    collector.get("/c", signed("https://shop.example/?gclid=inside"))
    assert collector.event["external_id"] == "inside"


def test_an_advertising_click_id_that_is_too_long_does_not_stop_the_visitor() -> None:
    collector = Collector()
    assert collector.get("/c", signed(TARGET) | {"fbclid": "f" * 300}).status_code == 302
    assert collector.event["external_id"] == ""


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "to"),
        ({"to": TARGET}, "sig"),
        ({"to": TARGET, "sig": "AAAA"}, "sig"),
        ({"to": TARGET, "sig": "ä"}, "sig"),
        (signed(TARGET, "another-key"), "sig"),
        ({"to": TARGET + "1", "sig": sign(TARGET, LINK_KEY)}, "sig"),
        ({"link": "unheard-of"}, "link"),
        ({"link": "shop"} | signed(TARGET), "link"),
        (signed(TARGET) | {"click_id": "c" * 257}, "click_id"),
        (signed(TARGET) | {"exp": str(NOW // 1000 + 1)}, "sig"),
        (ending(NOW // 1000 + 1) | {"exp": str(NOW // 1000 + 2)}, "sig"),
        (ending(NOW // 1000 + 1) | {"exp": ""}, "sig"),
        (ending(NOW // 1000), "exp"),
        (ending("tomorrow"), "exp"),
        (ending("1" * 13), "exp"),
        ({"to": f"{NOW // 1000 + 1}\n{TARGET}", "sig": ending(NOW // 1000 + 1)["sig"]}, "to"),
    ],
)
def test_nothing_but_signed_and_configured_targets_is_followed(
    parameters: dict[str, str], field: str
) -> None:
    collector = Collector()
    response = collector.get("/c", parameters)
    assert field_of(response) == field
    assert "location" not in response.headers
    assert not collector.sent


UNFIT = [
    "javascript:alert(1)",
    "data:text/html,x",
    "ftp://shop.example/",
    "//shop.example/",
    "/local",
    "shop.example",
    "http:shop.example",
    "https://",
    "https:///path",
    "https://user@shop.example/",
    "https://user:secret@shop.example/",
    "https://shop.example@evil.example/",
    "https://shop.example\\@evil.example/",
    "https://shop.example/\r\nset-cookie: a=b",
    "https://shop.example/a b",
    "https://shop.example/ä",
    "https://shop.example:port/",
    "https://shop.example:99999/",
    "https://[::1/",
    "https://shop.example/" + "x" * 4096,
]


@pytest.mark.parametrize("target", UNFIT)
def test_a_target_that_is_unfit_is_refused_even_with_a_signature(target: str) -> None:
    assert field_of(Collector().get("/c", signed(target))) == "to"


@pytest.mark.parametrize(
    "target", ["http://a.example", "HTTPS://a.example:8443/x?y=%20#z", "https://[2001:db8::1]/"]
)
def test_ordinary_targets_are_fit(target: str) -> None:
    assert check_target(target) == target


def test_without_keys_no_signature_is_good_enough() -> None:
    assert field_of(Collector(link_keys=()).get("/c", signed(TARGET, ""))) == "sig"


def test_parameters_are_added_before_the_fragment_and_replaced_only_if_wanted() -> None:
    assert with_parameters("https://a/?x=1#f", {"y": "2"}, replace=False) == "https://a/?x=1&y=2#f"
    assert with_parameters("https://a", {"y": "2"}, replace=False) == "https://a?y=2"
    assert with_parameters("https://a?y=1", {"y": "2"}, replace=False) == "https://a?y=1"
    assert with_parameters("https://a?y=1&z=3", {"y": "2"}, replace=True) == "https://a?z=3&y=2"


def test_links_are_read_from_a_file_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "links.json"
    links = {"a": "https://a.example/?s={sub1}"}
    path.write_text(json.dumps(links))
    assert load_links(path) == links
    path.write_text(json.dumps({"a": "https://a.example/", "b": "javascript:x"}))
    with pytest.raises(ValueError, match="link 'b' is not an http or https URL"):
        load_links(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        load_links(path)


def test_a_link_may_hand_the_visitor_over() -> None:
    collector = Collector(links={"shop": "https://shop.example/?funnel_visitor={visitor_id}"})
    known = collector.get("/c/shop", {"visitor": "crm 7"}).headers["location"]
    assert parse_qs(urlsplit(known).query)["funnel_visitor"] == ["crm 7"]
    new = collector.get("/c/shop").headers["location"]
    assert parse_qs(urlsplit(new).query)["funnel_visitor"] == [collector.sent[1][1]["visitor_id"]]
