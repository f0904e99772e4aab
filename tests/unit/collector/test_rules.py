"""Nothing that the collector accepts is a reject by docs/rules.md, section 2.

``reason_to_reject`` is that section, written down once more from the page.
"""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.errors import FieldError
from collector.events import to_record
from collector.items import read_item
from collector.minting import Minter
from collector.privacy import Privacy
from schemas.ids import route_of, transaction_route
from tests.unit.collector.support import NOW, Collector, decode

NEEDED = {
    "impressions": ("visitor_id",),
    "clicks": ("visitor_id", "click_id"),
    "leads": ("visitor_id", "lead_id"),
    "conversions": ("partner", "transaction_id"),
}
BOUNDED = ("visitor_id", "click_id", "lead_id", "external_id", "partner", "transaction_id")
BOUNDED += ("campaign", "affiliate", "offer", "creative")
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def reason_to_reject(topic: str, event: dict[str, Any], record_time: int) -> str | None:
    if not UUID.fullmatch(event["event_id"]):
        return "event_id"
    if not all(event[name] for name in NEEDED[topic]):
        return "missing"
    if any(len(event.get(name, "").encode()) > 256 for name in BOUNDED):
        return "too_long"
    if not all(
        946_684_800_000 <= event.get(name, NOW) <= record_time + 3_600_000
        for name in ("occurred_at", "status_at")
    ):
        return "time"
    if topic == "conversions" and event["status"] not in ("pending", "approved", "rejected", "reversed"):
        return "status"
    amounts = [event.get(name) for name in ("value", "payout")]
    if any(amount is not None and not 0 <= amount <= 10**15 for amount in amounts):
        return "amount"
    currency = event.get("currency", "")
    if (currency and not re.fullmatch("[A-Z]{3}", currency)) or (not currency and any(amounts)):
        return "currency"
    return None


def key_of(topic: str, event: dict[str, Any]) -> str:
    if topic == "conversions":
        return transaction_route(event["partner"], event["transaction_id"])
    return route_of(event["visitor_id"])


FIT_TEXT = st.sampled_from(["", "x", "ä" * 128, "v" * 256, "two words", "ſ"]) | st.text("abc-Ä€", max_size=8)
UNFIT_TEXT = st.sampled_from(["ä" * 129, "v" * 257, "\x00", "\ud800"]) | st.text(max_size=8)
TEXT = st.integers(0, 15).flatmap(lambda draw: FIT_TEXT if draw else UNFIT_TEXT)
TIME = st.sampled_from(
    [
        946_684_800_000,
        946_684_799_999,
        NOW,
        NOW + 3_600_000,
        NOW + 3_600_001,
        "2025-06-01T12:00:00Z",
        "2025",
        None,
    ]
)
AMOUNT = st.sampled_from([None, 0, 1, "0.00", "12.5", -1, 10**9, 10**9 + 1, "x"])
ITEM = st.fixed_dictionaries(
    {"kind": st.sampled_from(["impression", "click", "lead", "conversion"])},
    optional={
        **dict.fromkeys(
            ("visitor_id", "click_id", "lead_id", "external_id", "campaign", "sub1", "referrer"), TEXT
        ),
        **dict.fromkeys(("partner", "transaction_id", "goal", "form"), TEXT),
        "event_id": st.uuids().map(str),
        "occurred_at": TIME,
        "status_at": TIME,
        "status": st.sampled_from(["pending", "approved", "rejected", "reversed", "", "paid"]),
        "value": AMOUNT,
        "payout": AMOUNT,
        "currency": st.sampled_from(["", "EUR", "usd", "jpy", "EURO", "ſab"]),
        "consent": st.sampled_from(["", "granted", "denied"]),
    },
)


COMMON = {"kind", "event_id", "occurred_at", "visitor_id", "campaign", "sub1", "referrer", "consent"}
OWN = {
    "impression": set[str](),
    "click": {"click_id", "external_id"},
    "lead": {"click_id", "lead_id", "form", "value", "currency"},
    "conversion": {
        *("click_id", "lead_id", "partner", "transaction_id", "goal"),
        *("status", "status_at", "value", "payout", "currency"),
    },
}


@settings(max_examples=400)
@given(ITEM)
def test_an_accepted_item_is_no_reject(item: dict[str, Any]) -> None:
    item = {name: value for name, value in item.items() if name in COMMON | OWN[item["kind"]]}
    if item["kind"] == "conversion":
        item = {"partner": "p", "transaction_id": "t", "status": "pending"} | item
    try:
        event = read_item(item, NOW, Privacy("key"), Minter())
    except FieldError:
        return
    record = to_record(event, "")
    content = decode(record)
    assert reason_to_reject(record.topic, content, record.timestamp) is None
    assert record.key.decode() == key_of(record.topic, content)


@given(
    st.dictionaries(
        st.sampled_from(["vid", "click_id", "campaign", "sub1", "event_id", "gclid", "url", "utm_source"]),
        TEXT,
    )
)
def test_an_accepted_hit_is_no_reject(parameters: dict[str, str]) -> None:
    collector = Collector()
    parameters = {name: value.encode(errors="ignore").decode() for name, value in parameters.items()}
    statuses = [collector.get(path, parameters | {"link": "shop"}).status_code for path in ("/i.gif", "/c")]
    assert set(statuses) <= {200, 302, 400}
    for record, content in collector.sent:
        assert reason_to_reject(record.topic, content, record.timestamp) is None
        assert record.key.decode() == key_of(record.topic, content)
