"""Records that break a rule of docs/rules.md, section 2: one maker per reason and field. Only a direct producer can send them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from schemas.encoding import encode
from schemas.framing import HEADER_LENGTH, frame
from schemas.registry import latest_schema
from schemas.topics import CLICKS, CONVERSIONS, TOPIC_OF_KIND
from simulator.identities import Identities

_HOUR_MS = 3_600_000
_LONG = "x" * 257
_LONG_IN_BYTES = "é" * 129
Change = Mapping[str, Any]


class Malformed(NamedTuple):
    """A violation: the ``reason`` and ``detail`` expected of the reject, and what makes a framed value out of a valid record."""

    kind: str
    reason: str
    detail: str
    spoil: Callable[[bytes], bytes | None]
    change: Change = MappingProxyType({})


def _same(value: bytes) -> bytes:
    return value


def _field(kind: str, reason: str, field: str, content: Any, **others: Any) -> Malformed:
    return Malformed(kind, reason, field, _same, {field: content, **others})


def violations(now_ms: int) -> Sequence[Malformed]:
    """Return one violation of every rule and field; ``now_ms`` is the record time they will have, about."""
    return (*_framing(), *_decoding(), *_texts(), *_amounts(), *_times(now_ms))


def _framing() -> Sequence[Malformed]:
    return (
        Malformed("impression", "framing", "", lambda value: None),
        Malformed("click", "framing", "", lambda value: b""),
        Malformed("lead", "framing", "", lambda value: value[: HEADER_LENGTH - 1]),
        Malformed("conversion", "framing", "", lambda value: b'{"event": "as JSON"}'),
        Malformed(
            "impression", "unknown_schema", "99999", lambda value: frame(99_999, value[HEADER_LENGTH:])
        ),
        Malformed("click", "unknown_schema", *_other_topic(CONVERSIONS)),
        Malformed("conversion", "unknown_schema", *_other_topic(CLICKS)),
        Malformed("postback", "framing", "", lambda value: b"\x01" + value[1:]),
    )


def _other_topic(topic: str) -> tuple[str, Callable[[bytes], bytes | None]]:
    schema_id = latest_schema(topic).id
    return str(schema_id), lambda value: frame(schema_id, value[HEADER_LENGTH:])


def _decoding() -> Sequence[Malformed]:
    return (
        Malformed("impression", "undecodable", "", lambda value: value[: len(value) // 2]),
        Malformed("click", "undecodable", "", lambda value: value[:HEADER_LENGTH]),
        Malformed("lead", "undecodable", "", lambda value: value[:-1]),
        Malformed(
            "conversion",
            "undecodable",
            "",
            lambda value: value.replace(b"@goal@", b"\xff\xfe\xfd\xfc\xfb\xfa"),
            {"goal": "@goal@"},
        ),
        Malformed(
            "credit-request",
            "undecodable",
            "",
            lambda value: value[:HEADER_LENGTH] + b"\x01" + value[HEADER_LENGTH + 1 :],
        ),
    )


def _texts() -> Sequence[Malformed]:
    return (
        _field("impression", "event_id", "event_id", "not-a-uuid"),
        _field("click", "event_id", "event_id", "0123456789abcdef0123456789abcdef0123"),
        _field("conversion", "event_id", "event_id", ""),
        _field("postback", "event_id", "event_id", "call 4711"),
        _field("credit-request", "event_id", "request_id", "g0000000-0000-0000-0000-000000000000"),
        _field("impression", "missing", "visitor_id", ""),
        _field("click", "missing", "click_id", ""),
        _field("lead", "missing", "lead_id", ""),
        _field("conversion", "missing", "partner", ""),
        _field("conversion", "missing", "transaction_id", ""),
        _field("credit-request", "missing", "partner", ""),
        _field("postback", "missing", "verdict", ""),
        *(
            _field("impression", "too_long", name, _LONG)
            for name in ("visitor_id", "campaign", "affiliate", "offer")
        ),
        *(
            _field("click", "too_long", name, _LONG_IN_BYTES)
            for name in ("click_id", "external_id", "creative")
        ),
        _field("lead", "too_long", "lead_id", _LONG),
        *(
            _field(kind, "too_long", name, _LONG)
            for kind in ("conversion", "postback")
            for name in ("partner", "transaction_id")
        ),
        *(_field("credit-request", "hop", "route", route) for route in ("", "toolong", "é234")),
        *(_field("credit-request", "hop", "revision", revision) for revision in (0, 2**31)),
        *(_field(kind, "status", "status", "refunded") for kind in ("conversion", "credit-request")),
    )


def _amounts() -> Sequence[Malformed]:
    return (
        _field("lead", "amount", "value", -1),
        _field("conversion", "amount", "value", 10**15 + 1),
        _field("conversion", "amount", "payout", -1),
        _field("conversion", "currency", "currency", "eur"),
        _field("conversion", "currency", "currency", "", value=1),
        _field("lead", "currency", "currency", "", value=1),
    )


def _times(now_ms: int) -> Sequence[Malformed]:
    soon, before = now_ms + 2 * _HOUR_MS, 946_684_799_999
    return (
        _field("impression", "time", "occurred_at", before),
        _field("click", "time", "occurred_at", soon),
        _field("conversion", "time", "status_at", soon),
        _field("credit-request", "time", "occurred_at", before),
    )


def spoiled(malformed: Malformed, ids: Identities, now_ms: int) -> bytes | None:
    """Return the value of a record that breaks the rule ``malformed`` names, and no rule that comes before it."""
    record = {**_valid(malformed.kind, ids, now_ms), **malformed.change}
    return malformed.spoil(encode(TOPIC_OF_KIND[malformed.kind], record))


def _valid(kind: str, ids: Identities, now_ms: int) -> dict[str, Any]:
    visitor_id = ids.mint()
    own_ids = {
        "visitor_id": visitor_id,
        "click_id": ids.mint(visitor_id[:4]),
        "lead_id": ids.mint(visitor_id[:4]),
    }
    event = {"event_id": ids.event_id(), "occurred_at": now_ms, "received_at": now_ms, "currency": "EUR"}
    transaction = {
        "partner": "northnet",
        "transaction_id": f"M-{ids.token(12)}",
        "status": "pending",
        "status_at": now_ms,
    }
    request = {"request_id": ids.event_id(), "revision": 1, "route": visitor_id[:4]}
    return {**own_ids, **event, **transaction, **request, "verdict": "accepted"}
