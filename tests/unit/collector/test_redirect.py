"""GET /c and the targets it may lead to."""

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from collector.links import check_target, load_links, sign, with_parameters
from schemas.ids import is_minted
from tests.unit.collector.support import LINK_KEY, VISITOR, Collector, field_of

TARGET = "https://shop.example/p?sku=7"


def signed(target: str, key: str = LINK_KEY) -> dict[str, str]:
    return {"to": target, "sig": sign(target, key)}


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
    path.write_text(json.dumps({"a": "https://a.example/"}))
    assert load_links(path) == {"a": "https://a.example/"}
    path.write_text(json.dumps({"a": "https://a.example/", "b": "javascript:x"}))
    with pytest.raises(ValueError, match="link 'b' is not an http or https URL"):
        load_links(path)
    path.write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        load_links(path)
