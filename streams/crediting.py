"""Crediting: requests taken, touches that concern them, and the signed credit rows that follow (docs/rules.md, section 7)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.rows import Trigger, credit_frame, credit_row
from streams.state.hashing import string_hashes
from streams.state.partition import PartitionState
from streams.state.requests import Request, RequestKey
from streams.state.touches import route_code
from streams.steps.attribute import Claim, Credit, credits_of
from streams.steps.models import Model

_CLAIM_COLUMNS = (
    "partner",
    "transaction_id",
    "occurred_at",
    "status",
    "value",
    "payout",
    "currency",
    "goal",
    "campaign",
    "affiliate",
    "offer",
)
_COLUMNS = (
    "_partition",
    "_source",
    "_offset",
    "_record_time",
    "route",
    "revision",
    "moved",
    "event_hi",
    "event_lo",
    *_CLAIM_COLUMNS,
)


class Hit(NamedTuple):
    """A request that must be looked at again, and the source, offset and record time of the record that says so."""

    partition: int
    key: RequestKey
    trigger: tuple[str, int, int]


def requests_of(frame: pl.DataFrame) -> list[tuple[int, tuple[str, int, int], RequestKey, Request]]:
    """Return (partition, trigger, key, request) per row of a frame of credit requests, in order."""
    clicks, leads, visitors = (
        string_hashes(frame[name]).tolist() for name in ("click_id", "lead_id", "visitor_id")
    )
    found = []
    # A loop over rows: one conversion each, and few.
    for place, row in enumerate(frame.select(_COLUMNS).iter_rows()):
        number, source, offset, record_time, route, revision, moved, high, low = row[:9]
        claim = Claim(*row[9:])
        request = Request(
            claim,
            (high << 64) | low,
            revision,
            bool(moved),
            clicks[place],
            leads[place],
            visitors[place],
            record_time,
        )
        key = claim.partner, claim.transaction_id, route
        found.append((number, (source, offset, record_time), key, request))
    return found


def take_requests(
    states: Mapping[int, PartitionState], frame: pl.DataFrame
) -> tuple[npt.NDArray[np.int8], list[Hit]]:
    """Let each request of ``frame`` stand that has a higher revision than the one that stands; the others are duplicates."""
    verdict = np.zeros(frame.height, dtype=np.int8)
    hits = []
    for place, (number, trigger, key, request) in enumerate(requests_of(frame)):
        requests = states[number].requests
        # As new as the newest record: it is not let go before the journal has it.
        request.seen_at = max(request.seen_at, states[number].newest)
        if request.revision <= requests.known_revision(key):
            verdict[place] = 1
            continue
        requests.put(key, request)
        hits.append(Hit(number, key, trigger))
    return verdict, hits


def credit(
    state: PartitionState, hits: Sequence[Hit], models: Mapping[str, Model], lookback: int
) -> pl.DataFrame | None:
    """Return the credit rows that ``hits`` of one partition lead to, None if nothing changes."""
    rows: list[tuple[Any, ...]] = []
    for key, trigger in {hit.key: Trigger(hit.trigger) for hit in hits}.items():
        request = state.requests.by_key[key]
        now = credits_now(state, key, request, models, lookback)
        if now != request.in_force:
            rows += _restated(trigger, key, request, now)
            request.in_force = now
            request.seen_at = max(request.seen_at, state.newest)
    return credit_frame(rows) if rows else None


def credits_now(
    state: PartitionState, key: RequestKey, request: Request, models: Mapping[str, Model], lookback: int
) -> list[Credit]:
    """Return the credits that ``request`` has by all that is known now."""
    if request.moved:
        return []
    route, until = route_code(key[2]), request.claim.occurred_at
    visitor = state.touches.visitor_of(route, request.click, request.lead, until) or request.visitor
    if not visitor:
        return credits_of(request.claim, (), models)
    state.requests.watch(key, (visitor,))
    journey = state.touches.clicks_of(route, visitor, until - lookback, until)
    return credits_of(request.claim, journey, models)


def _restated(
    trigger: Trigger, key: RequestKey, request: Request, now: list[Credit]
) -> list[tuple[Any, ...]]:
    """Negate what is no longer in force, issue what is new; what stays is left alone."""
    before, after = Counter(request.in_force), Counter(now)
    signed = [(-1, credit) for credit in (before - after).elements()] + [
        (1, credit) for credit in (after - before).elements()
    ]
    return [
        credit_row(trigger, sign, key, request.request_id, request.revision, credit)
        for sign, credit in signed
    ]
