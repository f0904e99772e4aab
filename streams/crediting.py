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
    *Claim._fields,
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
    triggers = {hit.key: Trigger(hit.trigger) for hit in hits}
    requests = [state.requests.by_key[key] for key in triggers]
    resolved = _resolve(state, list(triggers), requests)
    journeys = state.touches.journeys(
        resolved.routes, resolved.visitors, resolved.until - lookback, resolved.until
    )
    # A loop over requests: a model is a function of one journey.
    for (key, trigger), request, journey in zip(triggers.items(), requests, journeys, strict=True):
        now = [] if request.moved else credits_of(request.claim, journey, models)
        if now != request.in_force:
            rows += _restated(trigger, key, request, now)
            request.in_force = now
            request.seen_at = max(request.seen_at, state.newest)
    return credit_frame(rows) if rows else None


def watch_visitors(state: PartitionState, keys: Sequence[RequestKey]) -> set[str]:
    """Let touches of the visitors that requests in memory lead to concern them: what crediting them here would have left behind.

    Return the routes of those that name a click or lead which memory does not hold.
    """
    resolved = _resolve(state, keys, [state.requests.by_key[key] for key in keys])
    named = (resolved.clicks != 0) | (resolved.leads != 0)
    lost = np.flatnonzero(named & (resolved.found == 0)).tolist()
    return {keys[place][2] for place in lost}


class _Resolved(NamedTuple):
    """Requests as columns: route codes, times (ms), hashes of what each names, of whom that is found to be, and of the visitor it comes to."""

    routes: npt.NDArray[np.uint32]
    until: npt.NDArray[np.int64]
    clicks: npt.NDArray[np.uint64]
    leads: npt.NDArray[np.uint64]
    found: npt.NDArray[np.uint64]
    visitors: npt.NDArray[np.uint64]


def _resolve(state: PartitionState, keys: Sequence[RequestKey], requests: Sequence[Request]) -> _Resolved:
    """Find the visitor of each request by all that is known now; from now on, touches of that visitor concern the request."""
    routes = np.array([route_code(key[2]) for key in keys], dtype=np.uint32)
    until = np.array([request.claim.occurred_at for request in requests], dtype=np.int64)
    clicks, leads, named = (
        np.array([getattr(request, name) for request in requests], dtype=np.uint64)
        for name in ("click", "lead", "visitor")
    )
    found = state.touches.visitors_of(routes, clicks, leads, until)
    visitors = np.where(found == 0, named, found)
    state.requests.watch(
        (visitor, key)
        for visitor, key, request in zip(visitors.tolist(), keys, requests, strict=True)
        if not request.moved
    )
    return _Resolved(routes, until, clicks, leads, found, visitors)


def _restated(
    trigger: Trigger, key: RequestKey, request: Request, now: list[Credit]
) -> list[tuple[Any, ...]]:
    """Negate what is no longer in force, issue what is new; what stays is left alone."""
    before, after = request.in_force, now
    if before and after:
        held, wanted = Counter(before), Counter(after)
        before, after = list((held - wanted).elements()), list((wanted - held).elements())
    signed = [*((-1, credit) for credit in before), *((1, credit) for credit in after)]
    return [
        credit_row(trigger, sign, key, request.request_id, request.revision, credit)
        for sign, credit in signed
    ]
