"""GET and POST /postback: what a partner reports, in its own words, and the row that says what became of it."""

import uuid
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.items import CONVERSION_NAMESPACE
from collector.partners import Partner
from collector.producer import MemoryProducer
from collector.signing import sign_postback
from schemas.bounds import Bounds
from schemas.ids import transaction_route
from tests.unit.collector.support import NOW, VISITOR, Collector

OLD, NEW = "an-old-secret-of-acme", "the-new-secret-of-acme"
TOKEN = "a-token-of-simple-network"
ACME = Partner(
    "acme",
    {
        "transaction_id": "{order}-{line}",
        "status": "{state}",
        "click_id": "{subid}",
        "value": "{amount}",
        "payout": "{commission}",
        "currency": "EUR",
        "status_at": "{changed}",
        "sub1": "{shop}",
    },
    {"confirmed": "approved", "cancelled": "reversed"},
    secrets=(OLD, NEW),
)
SIMPLE = Partner(
    "simple",
    {"transaction_id": "{txid}", "status": "approved", "click_id": "{cid}"},
    tokens=(TOKEN,),
    addresses=(ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")),
)
PARTNERS = {"acme": ACME, "simple": SIMPLE}
CALL = {"partner": "acme", "order": "O-1", "line": "2", "state": "Confirmed", "amount": "59.90"}


def collector(**arguments: Any) -> Collector:
    return Collector(partners=PARTNERS, **arguments)


def signed(parameters: Mapping[str, str], secret: str = NEW, at: int = NOW // 1000) -> str:
    query = urlencode(parameters)
    signature = sign_postback(secret, parameters.get("partner", ""), str(at), query.encode(), b"")
    return f"/postback?{query}&ts={at}&sig={signature}"


def outcome(door: Collector) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The conversion, if there is one, and the row."""
    contents = {record.topic: content for record, content in door.sent}
    assert len(contents) == len(door.sent)
    return contents.get("conversions"), contents["postbacks"]


def refusal(door: Collector, response: httpx.Response) -> tuple[int, str, str]:
    """Status, field and reason; the row and the answer agree, and there is no conversion."""
    conversion, row = outcome(door)
    assert conversion is None
    field = response.json()["error"]["field"]
    assert row["verdict"] == "refused"
    assert row["detail"].startswith(field)
    assert row["event_id"] == response.headers["x-funnel-postback-id"]
    assert row["conversion_id"] == ""
    return response.status_code, field, row["reason"]


def test_a_postback_becomes_a_conversion_in_our_words_and_a_row() -> None:
    door = collector()
    response = door.call(
        "GET", signed(CALL | {"subid": VISITOR, "commission": "4.5", "shop": "de", "extra": "x"})
    )
    conversion, row = outcome(door)
    assert conversion is not None
    event_id = str(uuid.uuid5(CONVERSION_NAMESPACE, f"acme\0O-1-2\0approved\0{NOW}"))
    assert response.status_code == 200
    assert response.json() == {"status": "accepted", "event_id": event_id, "postback_id": row["event_id"]}
    assert response.headers["x-funnel-event-id"] == event_id
    expected = {
        "event_id": event_id,
        "partner": "acme",
        "transaction_id": "O-1-2",
        "status": "approved",
        "click_id": VISITOR,
        "value": 59_900_000,
        "payout": 4_500_000,
        "currency": "EUR",
        "sub1": "de",
        "occurred_at": NOW,
        "status_at": NOW,
        "ip": "",
    }
    assert {name: conversion[name] for name in expected} == expected
    assert {name: row[name] for name in ("verdict", "reason", "detail", "conversion_id", "partner")} == {
        "verdict": "accepted",
        "reason": "",
        "detail": "",
        "conversion_id": event_id,
        "partner": "acme",
    }
    assert (row["transaction_id"], row["click_id"], row["ip"]) == ("O-1-2", VISITOR, "198.51.100.0")
    assert "amount=59.90" in row["request"].splitlines() and "extra (not read)" in row["request"].splitlines()
    assert {record.key for record, _ in door.sent} == {transaction_route("acme", "O-1-2").encode()}


def test_an_update_needs_no_more_than_the_transaction_and_its_status() -> None:
    door = collector()
    call = {"partner": "acme", "order": "O-1", "line": "2", "state": "cancelled", "changed": str(NOW)}
    assert door.call("GET", signed(call)).status_code == 200
    conversion, _ = outcome(door)
    assert conversion is not None
    assert (conversion["status"], conversion["value"], conversion["click_id"]) == ("reversed", None, "")


@pytest.mark.parametrize("changed", ["2025-12-31T23:00:00+00:00", "1767222000", "1767222000000"])
def test_times_as_partners_write_them(changed: str) -> None:
    door = collector()
    assert door.call("GET", signed(CALL | {"changed": changed})).status_code == 200
    conversion, _ = outcome(door)
    assert conversion is not None and conversion["status_at"] == NOW - 3_600_000


def test_the_same_postback_again_is_the_same_event_with_the_same_content() -> None:
    door = collector()
    url = signed(CALL, at=NOW // 1000 - 100)
    assert [door.call("GET", url).status_code for _ in range(2)] == [200, 200]
    first, second = (content for record, content in door.sent if record.topic == "conversions")
    assert first == second
    assert len({content["event_id"] for record, content in door.sent if record.topic == "postbacks"}) == 2


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_both_active_secrets_sign(secret: str) -> None:
    assert collector().call("GET", signed(CALL, secret)).status_code == 200


def test_a_body_is_signed_too_and_the_signature_may_be_a_header() -> None:
    body = urlencode({name: value for name, value in CALL.items() if name != "partner"}).encode()
    signature = sign_postback(NEW, "acme", str(NOW // 1000), b"partner=acme", body)
    headers = {
        "x-funnel-signature": f"t={NOW // 1000},v1={signature.upper()}",
        "content-type": "application/x-www-form-urlencoded",
    }
    door = collector()
    assert (
        door.call("POST", "/postback?partner=acme", content=body, headers=headers).json()["status"]
        == "accepted"
    )
    door = collector()
    response = door.call("POST", "/postback?partner=acme", content=body + b"&amount=1", headers=headers)
    assert refusal(door, response) == (403, "sig", "signature")


def test_json_with_numbers() -> None:
    body = b'{"order": 17, "line": 1, "state": "confirmed", "amount": 1.10, "nested": {"a": 1}}'
    signature = sign_postback(NEW, "acme", str(NOW // 1000), b"partner=acme", body)
    headers = {"x-funnel-signature": f"t={NOW // 1000},v1={signature}", "content-type": "application/json"}
    door = collector()
    assert door.call("POST", "/postback?partner=acme", content=body, headers=headers).status_code == 200, (
        door.sent
    )
    conversion, _ = outcome(door)
    assert conversion is not None
    assert (conversion["transaction_id"], conversion["value"]) == ("17-1", 1_100_000)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/postback", (400, "partner", "missing")),
        ("/postback?partner=nobody", (403, "partner", "partner")),
        ("/postback?partner=acme", (403, "sig", "signature")),
        (signed(CALL, "not-a-secret-of-acme"), (403, "sig", "signature")),
        (signed(CALL) + "&amount=1000", (403, "sig", "signature")),
        (signed(CALL, at=NOW // 1000 - 301), (403, "ts", "timestamp")),
        (signed(CALL, at=NOW // 1000 + 301), (403, "ts", "timestamp")),
        ("/postback?partner=acme&sig=x&ts=yesterday", (403, "ts", "timestamp")),
        (signed(CALL | {"order": ""}), (400, "transaction_id", "missing")),
        (signed(CALL | {"state": "maybe"}), (400, "status", "status")),
        (signed(CALL | {"amount": "12,50"}), (400, "value", "amount")),
        (signed(CALL | {"changed": "tomorrow"}), (400, "status_at", "time")),
        (signed(CALL | {"subid": "jane@mail.example"}), (400, "click_id", "personal")),
        (signed(CALL | {"shop": "x" * 513}), (400, "sub1", "too_long")),
        ("/postback?partner=acme&order=%ff", (400, "query", "invalid")),
        ("/postback?" + "&".join(f"p{n}=1" for n in range(201)), (400, "query", "too_large")),
        ("/postback?partner=simple&txid=1", (403, "token", "token")),
        (f"/postback?partner=simple&txid=1&token={TOKEN}", (403, "address", "address")),
        (f"/postback?partner=acme&txid=1&token={TOKEN}", (403, "sig", "signature")),
    ],
)
def test_what_is_refused_says_why_and_leaves_a_row(url: str, expected: tuple[int, str, str]) -> None:
    door = collector()
    assert refusal(door, door.call("GET", url)) == expected


@pytest.mark.parametrize("peer", ["203.0.113.9", "2001:db8::1", "::ffff:203.0.113.9"])
def test_a_token_from_an_address_of_the_partner_s(peer: str) -> None:
    door = collector(peer=peer)
    assert door.call("GET", f"/postback?partner=simple&txid=1&token={TOKEN}").status_code == 200
    assert (
        door.call(
            "GET", "/postback?partner=simple&txid=2", headers={"authorization": f"Bearer {TOKEN}"}
        ).status_code
        == 200
    )


def test_a_forwarded_address_counts_from_a_trusted_proxy_only() -> None:
    url = f"/postback?partner=simple&txid=1&token={TOKEN}"
    headers = {"x-forwarded-for": "203.0.113.9"}
    trusting = collector(peer="10.0.0.1", trusted_proxies=("10.0.0.0/8",))
    assert trusting.call("GET", url, headers=headers).status_code == 200
    door = collector(peer="10.0.0.1")
    assert refusal(door, door.call("GET", url, headers=headers))[2] == "address"


def test_an_amount_above_the_limit_is_refused_with_a_row() -> None:
    door = collector(bounds=Bounds(amount_limit=59))
    assert refusal(door, door.call("GET", signed(CALL))) == (400, "value", "amount")


def test_rows_hold_no_secret_and_no_person() -> None:
    door = collector(peer="203.0.113.77")
    door.call("GET", f"/postback?partner=simple&txid=1&cid=4711&token={TOKEN}&email=jane@mail.example")
    door.call("GET", signed(CALL | {"shop": "jane@mail.example", "subid": "x"}))
    door.call("GET", f"/postback?partner=jane@mail.example&sig={NEW}")
    text = str([content for record, content in door.sent if record.topic == "postbacks"])
    for secret in (TOKEN, NEW, OLD, "jane", "203.0.113.77"):
        assert secret not in text


def test_what_the_broker_does_not_acknowledge_is_to_be_sent_again() -> None:
    assert collector(producer=MemoryProducer(away=True)).call("GET", signed(CALL)).status_code == 503
    assert (
        collector(producer=MemoryProducer(away=True)).call("GET", "/postback?partner=acme").status_code == 503
    )


def test_calls_are_counted_by_verdict_and_reason() -> None:
    door = collector()
    door.call("GET", signed(CALL))
    door.call("GET", "/postback?partner=acme")
    counted = {
        (sample.labels["verdict"], sample.labels["reason"]): sample.value
        for metric in door.registry.collect()
        for sample in metric.samples
        if sample.name == "funnel_collector_postbacks_total"
    }
    assert counted == {("accepted", ""): 1, ("refused", "signature"): 1}


def test_other_methods_and_bodies_are_refused() -> None:
    assert collector().call("PUT", "/postback").status_code == 405
    door = collector()
    response = door.call("POST", "/postback?partner=acme", content=b"x", headers={"content-type": "text/xml"})
    assert refusal(door, response) == (415, "content-type", "content_type")
    door = collector()
    response = door.call("POST", "/postback?partner=acme", content=b"x" * (1 << 16) + b"x")
    assert refusal(door, response) == (413, "body", "too_large")


parameters = st.dictionaries(
    st.sampled_from(["partner", "order", "line", "state", "amount", "ts", "sig", "token", "{x}", ""])
    | st.text(max_size=8),
    st.sampled_from(["acme", "simple", "confirmed", "1", "\ud800", "\0", "9" * 5000]) | st.text(max_size=40),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(parameters, st.binary(max_size=60))
def test_whatever_comes_is_answered_and_leaves_one_row(sent: dict[str, str], tail: bytes) -> None:
    query = urlencode(sent, errors="surrogatepass").encode() + tail
    door = collector()
    response = door.call("GET", httpx.URL("http://collector/postback", query=_safe(query)))
    assert response.status_code in (200, 400, 403)
    assert [record.topic for record, _ in door.sent].count("postbacks") == 1


def _safe(query: bytes) -> bytes:
    return bytes(byte for byte in query if 32 < byte < 127 and byte != ord("#"))
