"""docs/rules.md, section 2: what cannot be processed, and why."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from schemas.bounds import DEFAULTS, Bounds
from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from schemas.ids import ALPHABET, ROUTE_LENGTH
from schemas.registry import schema_by_id
from schemas.topics import CLICKS, CONVERSIONS, CREDIT_REQUESTS, IMPRESSIONS, LEADS, LINKS, POSTBACKS
from simulator.oracle.given import Given, resolved, writer

EARLIEST = 946_684_800_000
HIGHEST_UNITS = 10**9
FURTHEST_S = 86_400
LONGEST = 256
STATUSES = ("pending", "approved", "rejected", "reversed")
NO_ID = "00000000-0000-0000-0000-000000000000"
HEXADECIMAL = frozenset("0123456789abcdefABCDEF")

REQUIRED = {
    IMPRESSIONS: ("visitor_id",),
    CLICKS: ("visitor_id", "click_id"),
    LEADS: ("visitor_id", "lead_id"),
    CONVERSIONS: ("partner", "transaction_id"),
    CREDIT_REQUESTS: ("partner", "transaction_id"),
    POSTBACKS: ("verdict",),
    LINKS: ("purpose", "visitor_id"),
}
LIMITED = (
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
    "identity_key",
    "winner",
    "origin",
    "person",
)


class Reject(NamedTuple):
    """Why a record is a reject. ``event_id`` in lower case, all zeros where it cannot be read."""

    reason: str
    detail: str
    event_id: str = NO_ID


Decoder = Callable[[bytes], dict[str, Any]]


def read(
    topic: str,
    value: bytes | None,
    record_time: int,
    given: Mapping[int, Given] | None = None,
    bounds: Bounds = DEFAULTS,
) -> dict[str, Any] | Reject:
    """Return the record of a value, or why it is a reject. ``given``: what a Schema Registry's ids stand for, where it gives them."""
    schema_id = schema_id_of(value)
    if schema_id is None or value is None:
        return Reject("framing", "")
    decode = decoder(topic, schema_id, given)
    if decode is None:
        return Reject("unknown_schema", str(schema_id))
    try:
        record = decode(value)
    except Exception:
        # Whatever a decoder may raise over bytes that are not of its schema: that is what the rule is about.
        return Reject("undecodable", "")
    units, seconds = (HIGHEST_UNITS, FURTHEST_S) if topic in (CREDIT_REQUESTS, LINKS) else bounds
    broken = _broken_rule(topic, record, record_time + 1000 * seconds, 10**6 * units)
    if broken is None:
        return record
    reason, field = broken
    return Reject(reason, field, NO_ID if reason == "event_id" else event_id_of(topic, record))


def decoder(topic: str, schema_id: int, given: Mapping[int, Given] | None) -> Decoder | None:
    """Return what reads a framed value of that id, None where the id is no schema of the topic."""
    return _registered(topic, schema_id) if given is None else _given(topic, given.get(schema_id))


def _registered(topic: str, schema_id: int) -> Decoder | None:
    schema = schema_by_id(schema_id)
    return partial(decode_body, schema_id) if schema is not None and schema.topic == topic else None


def _given(topic: str, given: Given | None) -> Decoder | None:
    schema = writer(topic, given)
    return partial(resolved, topic, schema) if schema is not None else None


def event_id_of(topic: str, record: dict[str, Any]) -> str:
    """Return the id of a record, in lower case."""
    return str(record[_id_field(topic)]).lower()


def _id_field(topic: str) -> str:
    return "request_id" if topic == CREDIT_REQUESTS else "event_id"


def _broken_rule(topic: str, record: dict[str, Any], latest: int, highest: int) -> tuple[str, str] | None:
    if not is_uuid(record[_id_field(topic)]):
        return "event_id", _id_field(topic)
    for field in REQUIRED[topic]:
        if record[field] == "":
            return "missing", field
    for field in LIMITED:
        if len(record.get(field, "").encode()) > LONGEST:
            return "too_long", field
    for field in ("occurred_at", "status_at"):
        if field in record and not EARLIEST <= record[field] <= latest:
            return "time", field
    if record.get("status", "pending") not in STATUSES:
        return "status", "status"
    return _broken_money(record, highest) or _broken_hop(topic, record)


def _broken_money(record: dict[str, Any], highest: int) -> tuple[str, str] | None:
    amounts = {field: record[field] for field in ("value", "payout") if record.get(field) is not None}
    for field, amount in amounts.items():
        if not 0 <= amount <= highest:
            return "amount", field
    currency = record.get("currency", "")
    if currency == "":
        return ("currency", "currency") if any(amounts.values()) else None
    if len(currency) != 3 or not all("A" <= letter <= "Z" for letter in currency):
        return "currency", "currency"
    return None


def _broken_hop(topic: str, record: dict[str, Any]) -> tuple[str, str] | None:
    if topic not in (CREDIT_REQUESTS, LINKS):
        return None
    route = record["route"]
    if len(route) != ROUTE_LENGTH or any(character not in ALPHABET for character in route):
        return "hop", "route"
    if topic == LINKS:
        return _broken_link(record)
    return None if 1 <= record["revision"] < 1 << 31 else ("hop", "revision")


def _broken_link(record: dict[str, Any]) -> tuple[str, str] | None:
    if record["purpose"] not in ("claim", "pair", "touch", "alias"):
        return "hop", "purpose"
    if record["purpose"] == "touch" and record["touch_kind"] not in ("click", "lead", "impression"):
        return "hop", "touch_kind"
    if record["purpose"] == "alias" and record["touch_kind"] not in ("click", "lead"):
        return "hop", "touch_kind"
    return None if is_uuid(record["touch_id"]) else ("hop", "touch_id")


def is_uuid(text: str) -> bool:
    """Return whether ``text`` spells a UUID in 36 characters."""
    if len(text) != 36:
        return False
    for place, character in enumerate(text, 1):
        if (character != "-") if place in (9, 14, 19, 24) else (character not in HEXADECIMAL):
            return False
    return True
