"""Validation agrees with docs/rules.md, section 2, read row by row."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.bounds import DEFAULTS, WIDEST, Bounds
from schemas.encoding import encode
from schemas.topics import CLICKS, CONVERSIONS, CREDIT_REQUESTS, IMPRESSIONS, LEADS, LINKS, POSTBACKS, TOPICS
from streams.steps.decode import decode
from streams.steps.validate import EARLIEST_MS, validate
from tests.unit.streams.steps.records import NOW, UUID, anything, batch, topics, valid

HOUR = 3_600_000
DAY = 24 * HOUR
STRICT = Bounds(amount_limit=500, future_tolerance_seconds=60)
HOPS = (CREDIT_REQUESTS, LINKS)
REQUIRED = {
    IMPRESSIONS: ["visitor_id"],
    CLICKS: ["visitor_id", "click_id"],
    LEADS: ["visitor_id", "lead_id"],
    CONVERSIONS: ["partner", "transaction_id"],
    CREDIT_REQUESTS: ["partner", "transaction_id"],
    POSTBACKS: ["verdict"],
    LINKS: ["purpose", "visitor_id"],
}
BOUNDED = [
    "visitor_id",
    "click_id",
    "lead_id",
    "external_id",
    "partner",
    "transaction_id",
    "campaign",
    "affiliate",
    "offer",
    "creative",
    *("identity_key", "winner", "origin", "person"),
]


def first_broken(topic: str, record: dict[str, Any], bounds: Bounds) -> tuple[str, str] | None:
    """The reason and the field, as the page says it."""
    highest, ahead = (10**15, DAY) if topic in HOPS else (bounds.micros, bounds.ahead_ms)
    name = "request_id" if topic == CREDIT_REQUESTS else "event_id"
    if not re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", record[name]):
        return "event_id", name
    for field in REQUIRED[topic]:
        if not record[field]:
            return "missing", field
    for field in BOUNDED:
        if len(record.get(field, "").encode()) > 256:
            return "too_long", field
    for field in ("occurred_at", "status_at"):
        if field in record and not 946_684_800_000 <= record[field] <= NOW + ahead:
            return "time", field
    if "status" in record and record["status"] not in {"pending", "approved", "rejected", "reversed"}:
        return "status", "status"
    money = [record[field] for field in ("value", "payout") if record.get(field) is not None]
    for field in ("value", "payout"):
        if record.get(field) is not None and not 0 <= record[field] <= highest:
            return "amount", field
    if "currency" in record:
        currency = record["currency"]
        if currency and not re.fullmatch("[A-Z]{3}", currency):
            return "currency", "currency"
        if not currency and any(money):
            return "currency", "currency"
    if topic == CREDIT_REQUESTS:
        if not re.fullmatch("[a-z2-7]{4}", record["route"]):
            return "hop", "route"
        if not 1 <= record["revision"] < 2**31:
            return "hop", "revision"
    return broken_link(record) if topic == LINKS else None


def broken_link(record: dict[str, Any]) -> tuple[str, str] | None:
    if not re.fullmatch("[a-z2-7]{4}", record["route"]):
        return "hop", "route"
    if record["purpose"] not in ("claim", "pair", "touch"):
        return "hop", "purpose"
    if record["purpose"] == "touch" and record["touch_kind"] not in ("click", "lead", "impression"):
        return "hop", "touch_kind"
    good = re.fullmatch(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", record["touch_id"])
    return None if good else ("hop", "touch_id")


AHEAD = (60_000, HOUR, DAY)
TIMES = st.sampled_from((EARLIEST_MS - 1, EARLIEST_MS, *(NOW + ms + more for ms in AHEAD for more in (0, 1))))
AMOUNTS = st.sampled_from((0, 1, -1, *(most + more for most in (500 * 10**6, 10**15) for more in (0, 1))))
LIMITS = {
    **dict.fromkeys(BOUNDED, st.sampled_from(("", "x", "a" * 256, "a" * 257, "ü" * 128, "ü" * 129))),
    **dict.fromkeys(("occurred_at", "status_at"), TIMES),
    **dict.fromkeys(("value", "payout"), AMOUNTS),
    **dict.fromkeys(("event_id", "request_id"), st.sampled_from((UUID.upper(), UUID[:-1], ""))),
    "currency": st.sampled_from(("", "EUR", "eur", "EURO", "EU", "ÄÖÜ", "EUR\n", "ÄE")),
    "route": st.sampled_from(("abc7", "abc1", "ABCD", "abcd\n", "abcde", "")),
    "purpose": st.sampled_from(("claim", "pair", "touch", "Touch")),
    "touch_kind": st.sampled_from(("click", "lead", "impression", "conversion")),
    "touch_id": st.sampled_from((UUID.upper(), UUID[:-1])),
    "revision": st.sampled_from((0, 1, 2**31 - 1, 2**31)),
    "status": st.sampled_from(("approved", "rejected", "reversed", "Pending", "")),
}


@st.composite
def nearly_valid(draw: st.DrawFn, topic: str) -> dict[str, Any]:
    """A valid record of ``topic`` with content at the limits in a few fields, and seldom any content in one."""
    record, other = valid(topic), draw(anything(topic))
    limited = [field for field in other if field in LIMITS]
    for field in draw(st.lists(st.sampled_from(limited), max_size=3)):
        record[field] = draw(LIMITS[field])
    if draw(st.integers(0, 4)) == 0:
        field = draw(st.sampled_from(sorted(other)))
        record[field] = other[field]
    return record


@settings(max_examples=150)
@given(st.data(), topics, st.sampled_from((DEFAULTS, STRICT, WIDEST)))
def test_agrees_with_the_rules(data: st.DataObject, topic: str, bounds: Bounds) -> None:
    records = data.draw(st.lists(nearly_valid(topic), min_size=1, max_size=8))
    frame, unread = decode(batch(topic, [encode(topic, record) for record in records]))
    assert unread.height == 0
    good, rejects = validate(topic, frame, bounds)
    outcomes = [
        first_broken(topic, {**_defaults(frame, row), **record}, bounds) for row, record in enumerate(records)
    ]
    assert good["_row"].to_list() == [row for row, outcome in enumerate(outcomes) if outcome is None]
    expected = [(row, *outcome) for row, outcome in enumerate(outcomes) if outcome is not None]
    assert rejects.select("_row", "reason", "detail").rows() == expected


def _defaults(frame: Any, row: int) -> dict[str, Any]:
    decoded: dict[str, Any] = frame.row(row, named=True)
    return decoded


@pytest.mark.parametrize("topic", TOPICS)
def test_a_good_row_has_its_id_as_two_halves(topic: str) -> None:
    good, rejects = validate(topic, decode(batch(topic, [encode(topic, valid(topic))]))[0])
    assert rejects.height == 0
    assert good.select("event_hi", "event_lo").row(0) == (
        int(UUID.replace("-", "")[:16], 16),
        int(UUID.replace("-", "")[16:], 16),
    )
    assert not {"event_id", "request_id"} & set(good.columns)


@pytest.mark.parametrize("topic", TOPICS)
def test_columns_are_the_same_with_and_without_rows(topic: str) -> None:
    frame = decode(batch(topic, [encode(topic, valid(topic)), encode(topic, valid(topic, occurred_at=0))]))[0]
    one_of_each = validate(topic, frame)
    assert [part.height for part in one_of_each] == [1, 1]
    none_rejected, none_good = validate(topic, frame[:1]), validate(topic, frame[1:])
    assert [part.schema for part in one_of_each] == [part.schema for part in none_rejected]
    assert [part.schema for part in one_of_each] == [part.schema for part in none_good]
    assert [part.height for part in none_good] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "event_id", "high", "occurred_at"),
    [
        (
            {"visitor_id": "", "event_id": UUID.upper()},
            UUID.upper(),
            int(UUID.replace("-", "")[:16], 16),
            NOW,
        ),
        ({"event_id": "x"}, None, 0, NOW),
        ({"occurred_at": 5}, UUID, int(UUID.replace("-", "")[:16], 16), NOW + 77),
        ({"event_id": "x", "occurred_at": 1 << 62}, None, 0, NOW + 77),
    ],
)
def test_a_reject_has_what_could_be_read(
    changes: dict[str, Any], event_id: str | None, high: int, occurred_at: int
) -> None:
    frame = decode(batch(CLICKS, [encode(CLICKS, valid(CLICKS, **changes))], record_time=NOW + 77))[0]
    rejects = validate(CLICKS, frame)[1]
    assert rejects.select("event_id", "event_hi", "occurred_at").rows() == [(event_id, high, occurred_at)]
    assert rejects.select("_partition", "_offset", "_record_time", "_row").rows() == [(3, 100, NOW + 77, 0)]


def verdicts(topic: str, bounds: Bounds, **content: Any) -> list[tuple[str, str]]:
    frame = decode(batch(topic, [encode(topic, valid(topic, **content))]))[0]
    return validate(topic, frame, bounds)[1].select("reason", "detail").rows()


@pytest.mark.parametrize(
    ("topic", "content", "reason"),
    [
        (CONVERSIONS, {"value": 500_000_001, "currency": "EUR"}, ("amount", "value")),
        (CONVERSIONS, {"payout": 500_000_001, "currency": "EUR"}, ("amount", "payout")),
        (LEADS, {"value": 500_000_001, "currency": "EUR"}, ("amount", "value")),
        (CLICKS, {"occurred_at": NOW + 60_001}, ("time", "occurred_at")),
        (CONVERSIONS, {"status_at": NOW + 60_001}, ("time", "status_at")),
    ],
)
def test_a_lower_bound_rejects_what_the_default_lets_pass(
    topic: str, content: dict[str, Any], reason: tuple[str, str]
) -> None:
    assert verdicts(topic, DEFAULTS, **content) == []
    assert verdicts(topic, STRICT, **content) == [reason]


def test_a_hop_is_held_against_no_bound_that_its_event_has_passed_already() -> None:
    """Otherwise a conversion that was counted under a higher bound would never be credited."""
    content = {"value": 10**15, "currency": "EUR", "occurred_at": NOW + HOUR}
    assert verdicts(CREDIT_REQUESTS, STRICT, **content) == []
    assert verdicts(LINKS, STRICT, occurred_at=NOW + HOUR) == []
