"""Whom a request's journey belongs to, and who is told of it (docs/rules.md, sections 7 and 8)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.attribution import NAMED_LATE_MS
from schemas.ids import route_of
from streams.requesting import Wish
from streams.rows import Trigger
from streams.state.hashing import hash_of
from streams.state.partition import PartitionState
from streams.state.requests import Request, RequestKey, Sending
from streams.state.touches import BY_CLICK, BY_LEAD, route_codes, step_of

MOVED = -1
_NOBODY: frozenset[Sending] = frozenset()
CROWDED = {"lead": 1 << 61, "click": 1 << 62}
"""What a step is raised by once too many carry the id: what it led to before is taken back."""


class Resolved(NamedTuple):
    """Requests as columns: route codes, times (ms), hashes of what each names, whether it was sent on to here; hashes of whom the click or lead
    is found to be, and of the visitor it comes to; the step of that, whether that visitor belongs to another, and the visitor of another route
    that an alias leads to, if one does."""

    routes: npt.NDArray[np.uint32]
    at: npt.NDArray[np.int64]
    clicks: npt.NDArray[np.uint64]
    leads: npt.NDArray[np.uint64]
    named: npt.NDArray[np.uint64]
    sent: npt.NDArray[np.bool_]
    found: npt.NDArray[np.uint64]
    visitors: npt.NDArray[np.uint64]
    steps: npt.NDArray[np.int64]
    elsewhere: npt.NDArray[np.bool_]
    away: list[str]


class _Named(NamedTuple):
    """``hashes[i]`` is of something that the request at ``places[i]``, or one before it, named."""

    places: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]


class _Led(NamedTuple):
    """What touches of the route itself lead to, as `Touches.visitors_of` returns it. To be changed in place."""

    found: npt.NDArray[np.uint64]
    steps: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


def resolve(state: PartitionState, keys: Sequence[RequestKey], requests: Sequence[Request]) -> Resolved:
    """Find the visitor of each request by all that is known now; from now on, touches of that visitor concern the request."""
    routes = route_codes(pl.Series([key[2] for key in keys], dtype=pl.String))
    at = np.array([request.claim.occurred_at for request in requests], dtype=np.int64)
    clicks = np.array([request.click for request in requests], dtype=np.uint64)
    leads = np.array([request.lead for request in requests], dtype=np.uint64)
    named = np.array([request.visitor for request in requests], dtype=np.uint64)
    found, steps, rows = state.touches.visitors_of(routes, clicks, leads, at + NAMED_LATE_MS)
    sent = np.array([bool(key[3]) for key in keys], dtype=np.bool_)
    away = _lead_away(state, requests, routes, sent, _Led(found, steps, rows))
    visitors = np.where(found == 0, named, found)
    visitors[[place for place, visitor in enumerate(away) if visitor]] = 0
    state.requests.watch(
        (visitor, key)
        for visitor, key, request in zip(visitors.tolist(), keys, requests, strict=True)
        if not request.moved
    )
    # What is taken back because the journey is another one now: nothing that this revision leads to from elsewhere counts for less.
    steps = np.where([request.moved for request in requests], MOVED, steps)
    steps = np.where(sent, [request.step for request in requests], steps)
    elsewhere = _elsewhere(state, keys, visitors) | np.array([bool(visitor) for visitor in away])
    return Resolved(routes, at, clicks, leads, named, sent, found, visitors, steps, elsewhere, away)


def _lead_away(
    state: PartitionState,
    requests: Sequence[Request],
    routes: npt.NDArray[np.uint32],
    sent: npt.NDArray[np.bool_],
    led: _Led,
) -> list[str]:
    """Return per request the visitor of another route that one of its ids leads to, empty where none does or a touch of its own route counts for
    more. Ids that too many visitors carry lead nowhere."""
    away = [""] * len(requests)
    raised = np.zeros(len(requests), dtype=np.int64)
    if not any(aliases.rows for aliases in state.aliases.values()):
        return away
    for kind, least in (("lead", BY_LEAD), ("click", BY_CLICK)):
        aliases = state.aliases[kind]
        ids = np.array([getattr(request, kind) for request in requests], dtype=np.uint64)
        # A loop over rows: few conversions name an id of somebody else.
        for place in np.flatnonzero(aliases.known(ids, routes) & ~sent).tolist():
            identifier = int(ids[place])
            route = int(routes[place])
            if aliases.crowded(identifier, route):
                raised[place] += CROWDED[kind]
            lead = aliases.lead(identifier, route, requests[place].claim.occurred_at + NAMED_LATE_MS)
            if lead is None:
                continue
            step = step_of(least, lead.occurred_at, lead.event_id >> 64)
            rival = state.touches.event_id(int(led.rows[place]))
            if (step, -lead.event_id) > (int(led.steps[place]), -rival):
                away[place], led.steps[place], led.found[place] = lead.visitor, step, hash_of(lead.visitor)
    led.steps[:] += raised
    return away


def _elsewhere(
    state: PartitionState, keys: Sequence[RequestKey], visitors: npt.NDArray[np.uint64]
) -> npt.NDArray[np.bool_]:
    """Return which requests come to a visitor that belongs to another one. Of visitors of other routes this partition cannot tell."""
    elsewhere = state.links.belonging(visitors)
    places = np.flatnonzero(elsewhere)
    found = state.links.belonging_to(visitors[places])
    for place, (visitor, _) in zip(places.tolist(), found, strict=True):
        elsewhere[place] = route_of(visitor) == keys[place][2]
    return elsewhere


def sent_on(
    state: PartitionState,
    triggers: Sequence[tuple[RequestKey, Trigger]],
    requests: Sequence[Request],
    resolved: Resolved,
) -> Iterator[Wish]:
    """Yield what is to be sent on of requests, as far as it was not."""
    if not _leads_on(state):
        return
    found = _sendings(state, [key for key, _ in triggers], requests, resolved)
    for request, (_, trigger), sendings in zip(requests, triggers, found, strict=True):
        new, request.sent = sendings - (request.sent or frozenset()), sendings
        time = max(trigger[2], request.seen_at)
        for sending in sorted(new):
            yield (*sending, time, *request.claim)


def aside_of(state: PartitionState, key: RequestKey) -> Iterable[Request]:
    """Return the requests of other origins than that of the one that stands."""
    return state.requests.aside.get(key, {}).values()


def _sendings(
    state: PartitionState, keys: Sequence[RequestKey], requests: Sequence[Request], resolved: Resolved
) -> list[frozenset[Sending]]:
    """Return what the owner of each request's visitor, the visitor of another route, and others that it could have come to, are to be told.

    What a request came to before depends on what was read first, and a crash forgets it: so of all whom the ids it ever named lead to, the owners
    are told that it is not theirs.
    """
    named = _named(requests, resolved)
    led = state.touches.led_to(named.hashes)
    visitors = np.concatenate((resolved.visitors, named.hashes, led.visitors))
    places = np.concatenate((np.arange(len(requests)), named.places, named.places[led.places]))
    # Most requests have nobody to tell.
    told: dict[int, dict[tuple[str, str], Sending]] = {}
    rows = np.flatnonzero(state.links.belonging(visitors))
    found = state.links.belonging_to(visitors[rows])
    for row, place, (visitor, owner) in zip(rows.tolist(), places[rows].tolist(), found, strict=True):
        if route_of(visitor) != keys[place][2]:
            continue
        request = requests[place]
        ours = int(visitors[row]) == int(resolved.visitors[place]) and not request.moved
        to = owner, request.origin or visitor
        mine = told.setdefault(place, {})
        if ours or to not in mine:
            mine[to] = (*to, request.revision, int(resolved.steps[place]), not ours)
    for place, visitor in _led_away(state, resolved, named):
        request = requests[place]
        ours = visitor == resolved.away[place] and not request.moved
        to = visitor, visitor
        mine = told.setdefault(place, {})
        if ours or to not in mine:
            mine[to] = (*to, request.revision, int(resolved.steps[place]), not ours)
    return [frozenset(told[place].values()) if place in told else _NOBODY for place in range(len(requests))]


def _named(requests: Sequence[Request], resolved: Resolved) -> _Named:
    """Return what each request or one before it named."""
    former = [
        (place, value) for place, request in enumerate(requests) if request.former for value in request.former
    ]
    own = (resolved.clicks, resolved.leads, resolved.named)
    hashes = np.concatenate((*own, np.array([value for _, value in former], dtype=np.uint64)))
    places = np.concatenate(
        (
            np.tile(np.arange(len(requests)), len(own)),
            np.array([place for place, _ in former], dtype=np.int64),
        )
    )
    is_any = hashes != 0
    return _Named(places[is_any], hashes[is_any])


def _led_away(state: PartitionState, resolved: Resolved, named: _Named) -> Iterator[tuple[int, str]]:
    """Yield the place of each request that was not sent on, and every visitor that an alias it ever named leads to."""
    here = ~resolved.sent[named.places]
    places, hashes = named.places[here], named.hashes[here]
    routes = resolved.routes[places]
    visitors: dict[tuple[int, int], list[str]] = {}
    for aliases in state.aliases.values():
        visitors.clear()
        for row in np.flatnonzero(aliases.known(hashes, routes)).tolist():
            at = int(hashes[row]), int(routes[row])
            if at not in visitors:
                visitors[at] = sorted(aliases.visitors(*at))
            for visitor in visitors[at]:
                yield int(places[row]), visitor


def _leads_on(state: PartitionState) -> bool:
    """Return whether anything could be sent on."""
    return state.links.pairs > 0 or any(aliases.rows for aliases in state.aliases.values())


def watch_visitors(state: PartitionState, keys: Sequence[RequestKey]) -> set[str]:
    """Let touches of the visitors that requests in memory lead to concern them: what crediting them here would have left behind.

    Return the routes of those that name a click or lead which memory does not hold.
    """
    requests = [state.requests.by_key[key] for key in keys]
    resolved = resolve(state, keys, requests)
    named = (resolved.clicks != 0) | (resolved.leads != 0)
    lost = set(np.flatnonzero(named & (resolved.found == 0)).tolist())
    routes = {keys[place][2] for place in lost}
    if _leads_on(state):
        for place, sendings in enumerate(_sendings(state, keys, requests, resolved)):
            # What was sent before the fence follows from what is remembered of it.
            if requests[place].sent is None and place not in lost:
                requests[place].sent = sendings
        others = [(key, one) for key in keys for one in aside_of(state, key) if one.sent is None]
        if others:
            keys, requests = [key for key, _ in others], [one for _, one in others]
            found = _sendings(state, keys, requests, resolve(state, keys, requests))
            for request, sendings in zip(requests, found, strict=True):
                request.sent = sendings
    return routes
