"""Validation: which decoded records break a rule, and which rule first (docs/rules.md, section 2)."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

import polars as pl

from schemas.topics import CLICKS, CONVERSIONS, CREDIT_REQUESTS, IMPRESSIONS, LEADS
from streams.steps.columns import META_SCHEMA
from streams.steps.plans import latest_plan
from streams.steps.uuids import parse_uuids

LONGEST_BYTES = 256
EARLIEST_MS = 946_684_800_000
"""2000-01-01T00:00:00Z."""
AHEAD_MS = 3_600_000
"""How far an event's time may lie after its record time."""
MOST_MICROS = 10**15
MOST_REVISIONS = 2**31 - 1
STATUSES = ("pending", "approved", "rejected", "reversed")

_REQUIRED = {
    IMPRESSIONS: ("visitor_id",),
    CLICKS: ("visitor_id", "click_id"),
    LEADS: ("visitor_id", "lead_id"),
    CONVERSIONS: ("partner", "transaction_id"),
    CREDIT_REQUESTS: ("partner", "transaction_id"),
}
_BOUNDED = (
    *("visitor_id", "click_id", "lead_id", "external_id", "partner", "transaction_id"),
    *("campaign", "affiliate", "offer", "creative"),
)
_TIMES = ("occurred_at", "status_at")
_AMOUNTS = ("value", "payout")
_VALID_ID = "_valid_id"


class Rule(NamedTuple):
    """A reason for rejecting, the field it names, and the condition under which it applies (never null)."""

    reason: str
    field: str
    broken: pl.Expr


def validate(topic: str, frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split a decoded ``frame`` into (good, rejects), each in its order.

    In ``good`` the id is replaced by ``event_hi`` and ``event_lo`` UInt64 (big endian halves of the UUID). Rejects carry ``_partition``,
    ``_offset``, ``_record_time``, ``_row``, ``event_id`` (null if it is no UUID), ``event_hi``, ``event_lo`` (then 0), ``occurred_at`` (record
    time where it is no plausible time), ``reason``, and ``detail``, the field. Their bytes are added by ``rejects.attach_raw``.
    """
    name = id_field(topic)
    parsed = parse_uuids(frame[name])
    frame = frame.with_columns(
        pl.Series(_VALID_ID, parsed.valid),
        pl.Series("event_hi", parsed.high),
        pl.Series("event_lo", parsed.low),
    )
    broken = frame.select(pl.any_horizontal(rule.broken for rule in rules(topic))).to_series()
    if not broken.any():
        return frame.drop(name, _VALID_ID), _rejects(topic, frame.clear())
    return frame.filter(~broken).drop(name, _VALID_ID), _rejects(topic, frame.filter(broken))


def id_field(topic: str) -> str:
    """Return the name of the field that identifies a record of ``topic``."""
    return "request_id" if topic == CREDIT_REQUESTS else "event_id"


def _rejects(topic: str, broken: pl.DataFrame) -> pl.DataFrame:
    reason, field = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.String)
    for rule in reversed(rules(topic)):
        reason = pl.when(rule.broken).then(pl.lit(rule.reason)).otherwise(reason)
        field = pl.when(rule.broken).then(pl.lit(rule.field)).otherwise(field)
    return broken.select(
        *META_SCHEMA,
        pl.when(_VALID_ID).then(pl.col(id_field(topic))).alias("event_id"),
        pl.col("event_hi", "event_lo"),
        pl.when(_implausible("occurred_at"))
        .then("_record_time")
        .otherwise("occurred_at")
        .alias("occurred_at"),
        reason.alias("reason"),
        field.alias("detail"),
    )


@cache
def rules(topic: str) -> tuple[Rule, ...]:
    """Return the rules for the records of ``topic``, in the order in which they count."""
    return tuple(_rules(topic, latest_plan(topic).dtypes.names()))


def _rules(topic: str, fields: Iterable[str]) -> Iterator[Rule]:
    has = frozenset(fields)
    yield Rule("event_id", id_field(topic), ~pl.col(_VALID_ID))
    for name in _REQUIRED[topic]:
        yield Rule("missing", name, pl.col(name) == "")
    for name in _present(_BOUNDED, has):
        yield Rule("too_long", name, pl.col(name).str.len_bytes() > LONGEST_BYTES)
    for name in _present(_TIMES, has):
        yield Rule("time", name, _implausible(name))
    if "status" in has:
        yield Rule("status", "status", ~pl.col("status").is_in(STATUSES))
    amounts = _present(_AMOUNTS, has)
    for name in amounts:
        yield Rule("amount", name, ~pl.col(name).fill_null(0).is_between(0, MOST_MICROS))
    if "currency" in has:
        yield Rule("currency", "currency", _bad_currency(amounts))
    if topic == CREDIT_REQUESTS:
        yield Rule("hop", "route", ~pl.col("route").str.contains(r"\A[a-z2-7]{4}\z"))
        yield Rule("hop", "revision", ~pl.col("revision").is_between(1, MOST_REVISIONS))


def _present(names: Iterable[str], has: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in has)


def _implausible(name: str) -> pl.Expr:
    return (pl.col(name) < EARLIEST_MS) | (pl.col(name) > pl.col("_record_time") + AHEAD_MS)


def _bad_currency(amounts: Iterable[str]) -> pl.Expr:
    empty = pl.col("currency") == ""
    money = pl.any_horizontal(pl.col(name).fill_null(0) != 0 for name in amounts)
    return (~empty & ~pl.col("currency").str.contains(r"\A[A-Z]{3}\z")) | (empty & money)
