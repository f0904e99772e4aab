"""Validation: which decoded records break a rule, and which rule first (docs/rules.md, section 2)."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.attribution import TOUCH_KINDS
from schemas.bounds import DEFAULTS, WIDEST, Bounds
from schemas.topics import CLICKS, CONVERSIONS, CREDIT_REQUESTS, IMPRESSIONS, LEADS, LINKS, POSTBACKS
from streams.steps.columns import META_SCHEMA, coded, string_lengths
from streams.steps.plans import latest_plan
from streams.steps.uuids import parse_uuids

LONGEST_BYTES = 256
EARLIEST_MS = 946_684_800_000
"""2000-01-01T00:00:00Z."""
MOST_REVISIONS = 2**31 - 1
PURPOSES = ("claim", "pair", "touch", "alias")
STATUSES = ("pending", "approved", "rejected", "reversed")

_REQUIRED = {
    IMPRESSIONS: ("visitor_id",),
    CLICKS: ("visitor_id", "click_id"),
    LEADS: ("visitor_id", "lead_id"),
    CONVERSIONS: ("partner", "transaction_id"),
    CREDIT_REQUESTS: ("partner", "transaction_id"),
    POSTBACKS: ("verdict",),
    LINKS: ("purpose", "visitor_id"),
}
_BOUNDED = (
    *("visitor_id", "click_id", "lead_id", "external_id", "partner", "transaction_id"),
    *("campaign", "affiliate", "offer", "creative", "identity_key", "winner", "origin", "person"),
)
_TIMES = ("occurred_at", "status_at")
_AMOUNTS = ("value", "payout")
_CURRENCY = re.compile(r"([A-Z]{3})?")
_HOPS = (CREDIT_REQUESTS, LINKS)
_ROUTE = re.compile(r"[a-z2-7]{4}")
_ID, _NOTHING = -1, -2
"""In place of the place of a rule: the id is no UUID; no rule is broken."""

Mask = npt.NDArray[np.bool_]


class Rule(NamedTuple):
    """A reason for rejecting, the field it names, and which rows of a frame break it."""

    reason: str
    field: str
    broken: Callable[[pl.DataFrame], Mask]


def validate(topic: str, frame: pl.DataFrame, bounds: Bounds = DEFAULTS) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split a decoded ``frame`` into (good, rejects), each in its order. ``bounds``: what amounts and times of events are held against.

    In ``good`` the id is replaced by ``event_hi`` and ``event_lo`` UInt64 (big endian halves of the UUID). Rejects carry ``_partition``,
    ``_offset``, ``_record_time``, ``_row``, ``event_id`` (null if it is no UUID), ``event_hi``, ``event_lo`` (then 0), ``occurred_at`` (record
    time where it is no plausible time), ``reason``, and ``detail``, the field. Their bytes are added by ``rejects.attach_raw``.
    """
    name = id_field(topic)
    ids = parse_uuids(frame[name])
    first = np.where(ids.valid, _NOTHING, _ID).astype(np.int16)
    if topic in _HOPS:
        bounds = WIDEST
    checks = rules(topic, bounds)
    for place in reversed(range(len(checks))):
        first[checks[place].broken(frame) & ids.valid] = place
    halves = pl.Series("event_hi", ids.high), pl.Series("event_lo", ids.low)
    frame = frame.with_columns(*halves)
    if (first == _NOTHING).all():
        return frame.drop(name), _rejects(topic, frame.clear(), first[:0], bounds)
    broken = first != _NOTHING
    rejects = _rejects(topic, frame.filter(pl.Series(broken)), first[broken], bounds)
    return frame.filter(pl.Series(~broken)).drop(name), rejects


def id_field(topic: str) -> str:
    """Return the name of the field that identifies a record of ``topic``."""
    return "request_id" if topic == CREDIT_REQUESTS else "event_id"


def _rejects(topic: str, broken: pl.DataFrame, first: npt.NDArray[np.int16], bounds: Bounds) -> pl.DataFrame:
    """Return ``broken`` rows as rejects; ``first`` is the place of the first rule each breaks."""
    name = id_field(topic)
    # Loops over rows: rejects are few.
    checks = rules(topic, bounds)
    verdicts = [("event_id", name) if place == _ID else checks[place][:2] for place in first.tolist()]
    return broken.select(
        *META_SCHEMA,
        pl.Series(
            "event_id",
            [None if place == _ID else text for place, text in zip(first, broken[name], strict=True)],
            dtype=pl.String,
        ),
        "event_hi",
        "event_lo",
        pl.Series(
            "occurred_at",
            np.where(
                _implausible(broken, "occurred_at", bounds), broken["_record_time"], broken["occurred_at"]
            ),
            dtype=pl.Int64,
        ),
        pl.Series("reason", [reason for reason, _ in verdicts], dtype=pl.String),
        pl.Series("detail", [field for _, field in verdicts], dtype=pl.String),
    )


@cache
def rules(topic: str, bounds: Bounds) -> tuple[Rule, ...]:
    """Return the rules after that of the id, for the records of ``topic``, in the order in which they count."""
    return tuple(_rules(topic, frozenset(latest_plan(topic).dtypes.names()), bounds))


def _rules(topic: str, has: frozenset[str], bounds: Bounds) -> Iterator[Rule]:
    for name in _REQUIRED[topic]:
        yield Rule("missing", name, partial(_empty, name=name))
    for name in _present(_BOUNDED, has):
        yield Rule("too_long", name, partial(_too_long, name=name))
    for name in _present(_TIMES, has):
        yield Rule("time", name, partial(_implausible, name=name, bounds=bounds))
    if "status" in has:
        yield Rule("status", "status", _bad_status)
    amounts = _present(_AMOUNTS, has)
    for name in amounts:
        yield Rule("amount", name, partial(_bad_amount, name=name, bounds=bounds))
    if "currency" in has:
        yield Rule("currency", "currency", partial(_bad_currency, amounts=amounts))
    if topic == CREDIT_REQUESTS:
        yield Rule("hop", "route", _bad_route)
        yield Rule("hop", "revision", _bad_revision)
    if topic == LINKS:
        yield Rule("hop", "route", _bad_route)
        yield Rule("hop", "purpose", _bad_purpose)
        yield Rule("hop", "touch_kind", _bad_touch_kind)
        yield Rule("hop", "touch_id", _bad_touch_id)


def _present(names: Iterable[str], has: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in has)


def _empty(frame: pl.DataFrame, name: str) -> Mask:
    return np.asarray(string_lengths(frame[name]) == 0)


def _too_long(frame: pl.DataFrame, name: str) -> Mask:
    return np.asarray(string_lengths(frame[name]) > LONGEST_BYTES)


def _implausible(frame: pl.DataFrame, name: str, bounds: Bounds) -> Mask:
    time, record_time = frame[name].to_numpy(), frame["_record_time"].to_numpy()
    return np.asarray((time < EARLIEST_MS) | (time > record_time + bounds.ahead_ms))


def _unless(frame: pl.DataFrame, name: str, good: Callable[[str], object]) -> Mask:
    """Return where a column of few distinct values is not ``good``."""
    codes, values = coded(frame[name])
    return np.array([not good(value) for value in values], dtype=np.bool_)[codes]


def _bad_status(frame: pl.DataFrame) -> Mask:
    return _unless(frame, "status", STATUSES.__contains__)


def _bad_route(frame: pl.DataFrame) -> Mask:
    return _unless(frame, "route", _ROUTE.fullmatch)


def _bad_revision(frame: pl.DataFrame) -> Mask:
    revision = frame["revision"].to_numpy()
    return np.asarray((revision < 1) | (revision > MOST_REVISIONS))


def _bad_purpose(frame: pl.DataFrame) -> Mask:
    return _unless(frame, "purpose", PURPOSES.__contains__)


def _bad_touch_kind(frame: pl.DataFrame) -> Mask:
    purpose = frame["purpose"]
    touched = _unless(frame, "touch_kind", TOUCH_KINDS.__contains__) & (purpose == "touch").to_numpy()
    led = _unless(frame, "touch_kind", ("click", "lead").__contains__) & (purpose == "alias").to_numpy()
    return np.asarray(touched | led)


def _bad_touch_id(frame: pl.DataFrame) -> Mask:
    return ~parse_uuids(frame["touch_id"]).valid


def _amount(frame: pl.DataFrame, name: str) -> npt.NDArray[np.int64]:
    return frame[name].fill_null(0).to_numpy()


def _bad_amount(frame: pl.DataFrame, name: str, bounds: Bounds) -> Mask:
    amount = _amount(frame, name)
    return (amount < 0) | (amount > bounds.micros)


def _bad_currency(frame: pl.DataFrame, amounts: Iterable[str]) -> Mask:
    codes, values = coded(frame["currency"])
    bad = np.array([value != "" and not _CURRENCY.fullmatch(value) for value in values], dtype=np.bool_)[
        codes
    ]
    for name in amounts:
        bad |= _empty(frame, "currency") & (_amount(frame, name) != 0)
    return bad
