"""POST /events."""

import hashlib
import hmac
import json
import uuid
from typing import Any

import pytest

from schemas.ids import hashed_route, is_minted, transaction_route
from tests.unit.collector.support import NOW, TOKEN, VISITOR, Collector, field_of

CONVERSION = {"kind": "conversion", "partner": "shop", "transaction_id": "t-1", "status": "approved"}
HOUR = 3_600_000


def test_a_batch_of_all_kinds_goes_to_the_topics_of_its_kinds() -> None:
    collector = Collector()
    kinds = [{"kind": "impression"}, {"kind": "click"}, {"kind": "lead"}, CONVERSION]
    response = collector.post({"events": kinds})
    assert response.status_code == 200
    assert [record.topic for record, _ in collector.sent] == ["impressions", "clicks", "leads", "conversions"]
    items = response.json()["items"]
    assert [item["status"] for item in items] == ["accepted"] * 4
    assert [item["event_id"] for item in items] == [event["event_id"] for _, event in collector.sent]
    assert all(record.timestamp == NOW for record, _ in collector.sent)


def test_a_bare_list_is_a_batch_too() -> None:
    assert Collector().post([{"kind": "click"}]).status_code == 200


def test_every_field_of_a_conversion_arrives() -> None:
    collector = Collector()
    item = {
        **CONVERSION,
        "event_id": "6f1c1d56-5f0e-4d0b-9a57-2f4a4c3ab3f1",
        "occurred_at": "2025-12-31T23:59:59.123Z",
        "status_at": NOW - 5,
        "visitor_id": VISITOR,
        "click_id": "theirs",
        "lead_id": "L1",
        "goal": "sale",
        "value": 12.34,
        "payout": "0.5",
        "currency": "eur",
        "campaign": "c",
        "affiliate": "a",
        "offer": "o",
        "creative": "k",
        **{name: name for name in ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")},
        **{f"sub{number}": f"s{number}" for number in range(1, 6)},
        "referrer": "https://r.example/",
        "landing_url": "https://l.example/",
        "ip": "2001:db8:1:2::3",
        "user_agent": "curl/8",
        "consent": "granted",
    }
    assert collector.post([item]).status_code == 200
    ((record, event),) = collector.sent
    assert record.key == transaction_route("shop", "t-1").encode()
    expected = {name: value for name, value in item.items() if name != "kind"} | {
        "received_at": NOW,
        "occurred_at": NOW - 877,
        "value": 12_340_000,
        "payout": 500_000,
        "currency": "EUR",
        "ip": "2001:db8:1::",
    }
    assert event == expected


def test_an_unknown_amount_is_not_an_amount_of_nothing() -> None:
    collector = Collector()
    collector.post([CONVERSION, {**CONVERSION, "transaction_id": "t-2", "value": 0}])
    assert [event["value"] for _, event in collector.sent] == [None, 0]


def test_a_conversions_event_id_follows_from_its_partner_transaction_and_status() -> None:
    collector = Collector()
    collector.post([CONVERSION, CONVERSION, {**CONVERSION, "status": "reversed"}])
    first, again, reversal = (event["event_id"] for _, event in collector.sent)
    assert first == again != reversal
    assert uuid.UUID(first).version == 5


def test_a_status_is_as_old_as_its_conversion_unless_it_says_so() -> None:
    collector = Collector()
    collector.post([{**CONVERSION, "occurred_at": NOW - HOUR}, CONVERSION])
    assert [event["status_at"] for _, event in collector.sent] == [NOW - HOUR, NOW]


def test_minted_ids_share_the_visitors_route_and_are_told_to_the_sender() -> None:
    collector = Collector()
    items = collector.post(
        [{"kind": "click", "visitor_id": VISITOR}, {"kind": "lead", "visitor_id": "crm-7"}]
    ).json()
    (_, click), (record, lead) = collector.sent
    assert items["items"][0]["click_id"] == click["click_id"]
    assert click["click_id"][:4] == VISITOR[:4]
    assert items["items"][1]["lead_id"] == lead["lead_id"]
    assert lead["lead_id"][:4] == hashed_route("crm-7") == record.key.decode()


def test_a_lead_without_a_visitor_is_on_the_route_of_its_click() -> None:
    collector = Collector()
    collector.post([{"kind": "lead", "click_id": VISITOR}])
    ((record, lead),) = collector.sent
    assert record.key == VISITOR[:4].encode()
    assert is_minted(lead["visitor_id"])
    assert lead["visitor_id"][:4] == lead["lead_id"][:4] == VISITOR[:4]


def test_an_email_is_hashed_with_the_key_and_goes_no_further() -> None:
    collector = Collector()
    assert collector.post([{"kind": "lead", "email": " Jane.Doe@Mail.Example "}]).status_code == 200
    ((record, event),) = collector.sent
    assert event["email_hash"] == hmac.new(b"pepper", b"jane.doe@mail.example", hashlib.sha256).hexdigest()
    assert b"jane" not in record.value.lower()


def test_without_a_key_an_email_is_refused() -> None:
    assert field_of(Collector(email_key="").post([{"kind": "lead", "email": "a@b.example"}])) == "email"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "order"}, "kind"),
        ({"kind": ["lead"]}, "kind"),
        ({"ammount": 1}, "ammount"),
        ({"email": "a@b.example"}, "email"),
        ({"partner": ""}, "partner"),
        ({"transaction_id": None}, "transaction_id"),
        ({"partner": "p" * 257}, "partner"),
        ({"transaction_id": 17}, "transaction_id"),
        ({"transaction_id": "jane@mail.example"}, "transaction_id"),
        ({"goal": "x\x07"}, "goal"),
        ({"status": ""}, "status"),
        ({"status": "Approved"}, "status"),
        ({"event_id": "6f1c1d56-5f0e-4d0b-9a57-2f4a4c3ab3f"}, "event_id"),
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2025-12-31T00:00:00"}, "occurred_at"),
        ({"occurred_at": "2025-02-30T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": 946_684_799_999}, "occurred_at"),
        ({"occurred_at": NOW // 1000}, "occurred_at"),
        ({"occurred_at": NOW + HOUR + 1}, "occurred_at"),
        ({"status_at": NOW + HOUR + 1}, "status_at"),
        ({"status_at": 1.5}, "status_at"),
        ({"status_at": True}, "status_at"),
        ({"value": -1, "currency": "EUR"}, "value"),
        ({"value": "1.2345678", "currency": "EUR"}, "value"),
        ({"value": "12,50", "currency": "EUR"}, "value"),
        ({"value": "NaN", "currency": "EUR"}, "value"),
        ({"value": True, "currency": "EUR"}, "value"),
        ({"value": 1_000_000_001, "currency": "EUR"}, "value"),
        ({"payout": [1], "currency": "EUR"}, "payout"),
        ({"value": 1, "value_micros": 1_000_000, "currency": "EUR"}, "value_micros"),
        ({"value_micros": 10**15 + 1, "currency": "EUR"}, "value_micros"),
        ({"payout_micros": "5", "currency": "EUR"}, "payout_micros"),
        ({"value": 1}, "currency"),
        ({"payout_micros": 1}, "currency"),
        ({"currency": "EURO"}, "currency"),
        ({"currency": "€€€"}, "currency"),
        ({"ip": "host"}, "ip"),
        ({"consent": "yes"}, "consent"),
        ({"user_agent": 5}, "user_agent"),
        ({"sub1": "\ud800"}, "sub1"),
    ],
)
def test_a_bad_item_is_refused_by_the_name_of_its_field(changes: dict[str, Any], field: str) -> None:
    collector = Collector()
    response = collector.post(json.dumps([CONVERSION | changes]))
    assert field_of(response) == field
    assert response.json()["items"][0]["error"]["index"] == 0
    assert not collector.sent


@pytest.mark.parametrize("given", ["A" * 64, "0" * 63, "jane@mail.example"])
def test_an_email_hash_must_be_one(given: str) -> None:
    assert field_of(Collector().post([{"kind": "lead", "email_hash": given}])) == "email_hash"


def test_good_items_are_accepted_beside_bad_ones() -> None:
    collector = Collector()
    response = collector.post([{"kind": "click"}, {"kind": "lead", "value": 1}, 7, CONVERSION])
    assert response.status_code == 207
    items = response.json()["items"]
    assert [item.get("status") for item in items] == ["accepted", None, None, "accepted"]
    assert (items[1]["error"]["index"], items[1]["error"]["field"]) == (1, "currency")
    assert (items[2]["error"]["index"], items[2]["error"]["field"]) == (2, "events")
    assert len(collector.sent) == 2


def test_money_is_exact() -> None:
    collector = Collector()
    amounts = ["0.1", "999999999.999999", "1000000000", "0.000001", "7.10000000"]
    body = ", ".join(
        f'{{"kind": "lead", "currency": "USD", "value": {amount}}}, {{"kind": "lead", "currency": "USD", "value": "{amount}"}}'
        for amount in amounts
    )
    assert collector.post(f"[{body}]").status_code == 200
    expected = [100_000, 999_999_999_999_999, 10**15, 1, 7_100_000]
    assert [event["value"] for _, event in collector.sent] == [
        micros for micros in expected for _ in range(2)
    ]


@pytest.mark.parametrize("number", ["1e999999999", "1e-999999999", "NaN", "Infinity", "-1e5", "9" * 5000])
def test_monstrous_numbers_are_refused(number: str) -> None:
    response = Collector().post(f'[{{"kind": "lead", "currency": "USD", "value": {number}}}]')
    assert field_of(response) in ("value", "body")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"\xff", "body"),
        (b"[" * 100_000, "body"),
        (b"{}", "events"),
        (b'{"events": {}}', "events"),
        (b"[]", "events"),
        (b'"events"', "events"),
    ],
)
def test_what_is_not_a_batch_is_refused(body: bytes, field: str) -> None:
    assert field_of(Collector().post(body)) == field


def test_a_batch_has_a_limit_of_items_and_of_bytes() -> None:
    assert field_of(Collector(max_events=2).post([{"kind": "click"}] * 3)) == "events"
    response = Collector(max_body_bytes=100).post([{"kind": "click", "campaign": "c" * 100}])
    assert response.status_code == 413
    assert response.json()["error"]["field"] == "body"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"]
)
def test_without_a_token_nothing_is_read(header: str | None) -> None:
    collector = Collector()
    headers = {} if header is None else {"authorization": header}
    response = collector.call("POST", "/events", content=b"not even json", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["field"] == "authorization"


def test_without_configured_tokens_the_door_is_shut() -> None:
    assert Collector(tokens=()).post([{"kind": "click"}], token="").status_code == 401
    assert Collector(tokens=("",)).post([{"kind": "click"}], token="").status_code == 401


def test_a_servers_own_address_is_not_taken_for_the_visitors() -> None:
    collector = Collector()
    collector.post([{"kind": "click"}])
    assert (collector.event["ip"], collector.event["user_agent"]) == ("", "")


def test_the_broker_away_means_try_again() -> None:
    collector = Collector()
    collector.producer.away = True
    response = collector.post([{"kind": "click"}, {"kind": "nonsense"}])
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert response.json()["items"][0]["status"] == "unavailable"
    assert response.json()["items"][1]["error"]["field"] == "kind"


def test_a_queue_that_fills_up_in_the_middle_of_a_batch_says_which_items_are_in() -> None:
    collector = Collector()
    collector.producer.capacity = 2
    response = collector.post([{"kind": "click"}] * 3)
    assert response.status_code == 503
    assert [item["status"] for item in response.json()["items"]] == ["accepted", "accepted", "unavailable"]
    assert len(collector.sent) == 2
