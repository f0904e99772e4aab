"""POST /lead: a browser's form, or JSON."""

import hashlib
import hmac
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from collector.fields import MAX_BODY_BYTES
from collector.links import sign
from collector.producer import MemoryProducer
from schemas.ids import is_minted, mint
from tests.unit.collector.support import LINK_KEY, NOW, VISITOR, Collector, field_of

FORM = {"form": "newsletter", "email": " Jane@Mail.example ", "campaign": "spring", "sub1": "box-3"}
HASH = hmac.new(b"pepper", b"jane@mail.example", hashlib.sha256).hexdigest()


def submit(collector: Collector, fields: dict[str, str], **arguments: Any) -> httpx.Response:
    return collector.call("POST", "/lead", data=fields, **arguments)


def test_a_form_becomes_a_lead_of_the_remembered_visitor() -> None:
    collector = Collector()
    response = submit(
        collector,
        FORM | {"value": "12.50", "currency": "eur", "submit": "Send"},
        headers={"cookie": f"fv={VISITOR}", "referer": "https://shop.example/offer", "user-agent": "Firefox"},
    )
    event = collector.event
    assert response.status_code == 200
    assert response.headers["x-funnel-event-id"] == event["event_id"]
    assert response.json() == {
        "status": "accepted",
        "event_id": event["event_id"],
        "visitor_id": VISITOR,
        "lead_id": event["lead_id"],
    }
    assert "set-cookie" not in response.headers
    ((record, _),) = collector.sent
    assert (record.topic, record.key, record.timestamp) == ("leads", VISITOR[:4].encode(), NOW)
    expected = {"form": "newsletter", "email_hash": HASH, "campaign": "spring", "sub1": "box-3"}
    expected |= {"referrer": "https://shop.example/offer", "user_agent": "Firefox", "ip": "198.51.100.0"}
    assert {name: event[name] for name in expected} == expected
    assert (event["value"], event["currency"]) == (12_500_000, "EUR")
    assert is_minted(event["lead_id"]) and event["lead_id"][:4] == VISITOR[:4]


@pytest.mark.parametrize("name", ["click_id", "funnel_click"])
def test_a_lead_without_a_visitor_is_on_the_route_of_its_click(name: str) -> None:
    collector = Collector()
    click = mint("wxyz")
    response = submit(collector, {name: click})
    event = collector.event
    assert event["click_id"] == click
    assert {event["visitor_id"][:4], event["lead_id"][:4]} == {"wxyz"}
    assert response.cookies["fv"] == event["visitor_id"]


def test_json_is_the_same_lead() -> None:
    collector = Collector()
    content = {
        **FORM,
        "value": 12.5,
        "currency": "EUR",
        "lead_id": 4711,
        "page": {"of": "theirs"},
        "sub2": None,
    }
    response = collector.call("POST", "/lead", json=content)
    assert response.status_code == 200
    event = collector.event
    assert (event["email_hash"], event["value"], event["lead_id"], event["sub2"]) == (
        HASH,
        12_500_000,
        "4711",
        "",
    )


def test_a_form_may_lead_on_to_a_configured_or_signed_target() -> None:
    collector = Collector(links={"thanks": "https://shop.example/thanks?s={sub1}&e={external_id}"})
    response = submit(collector, FORM | {"link": "thanks"})
    assert response.status_code == 303
    assert parse_qs(urlsplit(response.headers["location"]).query) == {
        "s": ["box-3"],
        "funnel_lead": [collector.event["lead_id"]],
    }
    target = "https://shop.example/thanks"
    response = submit(Collector(), FORM | {"to": target, "sig": sign(target, LINK_KEY)})
    assert response.headers["location"].startswith(f"{target}?funnel_lead=")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"to": "https://evil.example/"}, "sig"),
        ({"link": "unheard-of"}, "link"),
        ({"email": "nobody"}, "email"),
        ({"value": "-1", "currency": "EUR"}, "value"),
        ({"value": "1e9", "currency": "EUR"}, "value"),
        ({"value": "5"}, "currency"),
        ({"visitor_id": "jane@mail.example"}, "visitor_id"),
        ({"form": "x" * 5000}, "form"),
        ({"event_id": "7"}, "event_id"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_recorded(fields: dict[str, str], field: str) -> None:
    collector = Collector()
    assert field_of(submit(collector, fields)) == field
    assert field_of(collector.call("POST", "/lead", json=fields)) == field
    assert collector.sent == []


@pytest.mark.parametrize("content", ["", "[]", "{", "7", '{"form": ["x"]}', '{"value": true}', "[" * 20_000])
def test_json_that_is_no_object_of_texts_and_numbers_is_refused(content: str) -> None:
    collector = Collector()
    response = collector.call(
        "POST", "/lead", content=content, headers={"content-type": "application/json; charset=utf-8"}
    )
    assert field_of(response) in ("body", "form", "value")
    assert collector.sent == []


def test_other_media_types_and_large_bodies_are_refused() -> None:
    collector = Collector()
    assert (
        collector.call("POST", "/lead", content="x", headers={"content-type": "text/plain"}).status_code
        == 415
    )
    assert submit(collector, {"form": "x" * MAX_BODY_BYTES}).status_code == 413
    assert collector.get("/lead").status_code == 405
    assert collector.sent == []


def test_without_consent_nobody_is_remembered() -> None:
    collector = Collector()
    response = submit(collector, FORM | {"consent": "denied"}, headers={"cookie": f"fv={VISITOR}"})
    assert "set-cookie" not in response.headers
    assert collector.event["visitor_id"] != VISITOR


def test_without_the_broker_nothing_is_pretended() -> None:
    response = submit(Collector(producer=MemoryProducer(away=True)), FORM)
    assert response.status_code == 503
    assert "x-funnel-event-id" not in response.headers


def test_the_target_of_a_form_may_get_the_visitor() -> None:
    collector = Collector(links={"thanks": "https://shop.example/?v={visitor_id}"})
    response = submit(collector, {"link": "thanks"}, headers={"cookie": f"fv={VISITOR}"})
    assert parse_qs(urlsplit(response.headers["location"]).query)["v"] == [VISITOR]
