"""Crediting: requests taken, touches that concern them, and the signed credit rows that follow (docs/rules.md, section 7)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.attribution import NAMED_LATE_MS, TOUCH_KINDS, Models, longest_lookback, longest_skew
from schemas.ids import route_of
from streams.requesting import Wish
from streams.rows import Trigger, credit_frame
from streams.state.credits import COLUMNS, Columns
from streams.state.hashing import hash_of, string_hashes
from streams.state.partition import PartitionState
from streams.state.requests import Claim, Request, RequestKey, Sending, held_rows
from streams.state.touches import BY_CLICK, BY_LEAD, DIMENSIONS, route_code, step_of
from streams.steps.attribute import NOBODY, UNATTRIBUTED, attribute

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
    "person",
    "origin",
    "step",
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
    for place, row in enumerate(frame.select(_COLUMNS).rows()):
        number, source, offset, record_time, route, revision, moved, high, low, person, origin, step = row[
            :12
        ]
        claim = Claim(*row[12:])
        request = Request(
            claim,
            (high << 64) | low,
            revision,
            bool(moved),
            clicks[place],
            leads[place],
            visitors[place],
            record_time,
            origin,
            step,
        )
        key = claim.partner, claim.transaction_id, route, person
        found.append((number, (source, offset, record_time), key, request))
    return found


def take_requests(
    states: Mapping[int, PartitionState], frame: pl.DataFrame
) -> tuple[npt.NDArray[np.int8], list[Hit]]:
    """Take each request of ``frame`` that has a higher revision (then step) than the last one of its origin; the others are duplicates."""
    verdict = np.zeros(frame.height, dtype=np.int8)
    hits = []
    for place, (number, trigger, key, request) in enumerate(requests_of(frame)):
        requests = states[number].requests
        # As new as the newest record: it is not let go before the journal has it.
        request.seen_at = max(request.seen_at, states[number].newest)
        if requests.take(key, request):
            hits.append(Hit(number, key, trigger))
        else:
            verdict[place] = 1
    return verdict, hits


def credit(
    state: PartitionState, hits: Sequence[Hit], onward: list[Wish] | None = None
) -> pl.DataFrame | None:
    """Return the credit rows that ``hits`` of one partition lead to, None if nothing changes: what is no longer in force is negated, what is
    new is issued, what stays is left alone.

    Requests whose visitor belongs to another are credited there: ``onward`` gets what `sent_on_hops` is to send.
    """
    if not hits:
        return None
    triggers = {hit.key: Trigger(hit.trigger) for hit in hits}
    requests = [state.requests.by_key[key] for key in triggers]
    resolved = _resolve(state, list(triggers), requests)
    if onward is not None:
        onward += _sent_on(state, list(triggers.items()), requests, resolved)
        others = [(key, trigger, one) for key, trigger in triggers.items() for one in _aside(state, key)]
        if others:
            keys, aside = [key for key, *_ in others], [one for *_, one in others]
            pairs = [(key, trigger) for key, trigger, _ in others]
            onward += _sent_on(state, pairs, aside, _resolve(state, keys, aside))
    wanted = _wanted(state, requests, resolved)
    place, rows = held_rows(requests)
    held = {"place": place, **state.requests.credits.gather(rows)}
    signed = _difference(held, wanted)
    if not signed.height:
        return None
    _put_in_force(state, requests, wanted, np.unique(signed["place"].to_numpy()))
    columns = {name: signed[name].to_numpy() for name in signed.columns}
    credits = state.requests.credits.frame(columns)
    return credit_frame(credits, signed, list(triggers.items()), requests)


def watch_visitors(state: PartitionState, keys: Sequence[RequestKey]) -> set[str]:
    """Let touches of the visitors that requests in memory lead to concern them: what crediting them here would have left behind.

    Return the routes of those that name a click or lead which memory does not hold.
    """
    requests = [state.requests.by_key[key] for key in keys]
    resolved = _resolve(state, keys, requests)
    named = (resolved.clicks != 0) | (resolved.leads != 0)
    lost = np.flatnonzero(named & (resolved.found == 0)).tolist()
    routes = {keys[place][2] for place in lost}
    if _leads_on(state):
        for place, sendings in enumerate(_sendings(state, keys, requests, resolved)):
            # What was sent before the fence follows from what is remembered of it.
            if requests[place].sent is None and place not in lost:
                requests[place].sent = sendings
        others = [(key, one) for key in keys for one in _aside(state, key) if one.sent is None]
        if others:
            keys, requests = [key for key, _ in others], [one for _, one in others]
            found = _sendings(state, keys, requests, _resolve(state, keys, requests))
            for request, sendings in zip(requests, found, strict=True):
                request.sent = sendings
    return routes


def _aside(state: PartitionState, key: RequestKey) -> Iterable[Request]:
    """Return the requests of other origins than that of the one that stands."""
    return state.requests.aside.get(key, {}).values()


def _sent_on(
    state: PartitionState,
    triggers: Sequence[tuple[RequestKey, Trigger]],
    requests: Sequence[Request],
    resolved: "_Resolved",
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


def _leads_on(state: PartitionState) -> bool:
    """Return whether anything could be sent on."""
    return bool(state.links.winners) or any(aliases.rows for aliases in state.aliases.values())


def _sendings(
    state: PartitionState, keys: Sequence[RequestKey], requests: Sequence[Request], resolved: "_Resolved"
) -> list[frozenset[Sending]]:
    """Return what the owner of each request's visitor, the visitor of another route, and others that it could have come to, are to be told.

    What a request came to before depends on what was read first, and a crash forgets it: so of all whom the ids it ever named lead to, the owners
    are told that it is not theirs.
    """
    named = [(place, value) for place, request in enumerate(requests) for value in request.named]
    values = np.array([value for _, value in named], dtype=np.uint64)
    places = np.array([place for place, _ in named], dtype=np.int64)
    led = state.touches.led_to(values)
    visitors = np.concatenate((resolved.visitors, values, led.visitors))
    places = np.concatenate((np.arange(len(requests)), places, places[led.places]))
    told: list[dict[tuple[str, str], Sending]] = [{} for _ in requests]
    for row in np.flatnonzero(state.links.belonging(visitors)).tolist():
        place, visitor = int(places[row]), state.links.text(int(visitors[row]))
        if route_of(visitor) != keys[place][2]:
            continue
        request, owner = requests[place], state.links.winners[visitor]
        ours = int(visitors[row]) == int(resolved.visitors[place]) and not request.moved
        to = owner, request.origin or visitor
        if ours or to not in told[place]:
            told[place][to] = (*to, request.revision, int(resolved.steps[place]), not ours)
    for place, visitor in _led_away(state, keys, requests):
        request = requests[place]
        ours = visitor == resolved.away[place] and not request.moved
        to = visitor, visitor
        if ours or to not in told[place]:
            told[place][to] = (*to, request.revision, int(resolved.steps[place]), not ours)
    return [frozenset(each.values()) for each in told]


def _led_away(
    state: PartitionState, keys: Sequence[RequestKey], requests: Sequence[Request]
) -> Iterator[tuple[int, str]]:
    """Yield the place of each request that was not sent on, and every visitor that an alias it ever named leads to."""
    named = [
        (place, value)
        for place, request in enumerate(requests)
        if not keys[place][3]
        for value in request.named
    ]
    values = np.array([value for _, value in named], dtype=np.uint64)
    routes = np.array([route_code(keys[place][2]) for place, _ in named], dtype=np.uint32)
    for aliases in state.aliases.values():
        for row in np.flatnonzero(aliases.known(values, routes)).tolist():
            place, value = named[row]
            for visitor in sorted(aliases.visitors(value, int(routes[row]))):
                yield place, visitor


class _Resolved(NamedTuple):
    """Requests as columns: route codes, times (ms), hashes of what each names, of whom that is found to be, and of the visitor it comes to;
    the step of that, whether that visitor belongs to another, and the visitor of another route that an alias leads to, if one does."""

    routes: npt.NDArray[np.uint32]
    at: npt.NDArray[np.int64]
    clicks: npt.NDArray[np.uint64]
    leads: npt.NDArray[np.uint64]
    found: npt.NDArray[np.uint64]
    visitors: npt.NDArray[np.uint64]
    steps: npt.NDArray[np.int64]
    elsewhere: npt.NDArray[np.bool_]
    away: list[str]


def _resolve(state: PartitionState, keys: Sequence[RequestKey], requests: Sequence[Request]) -> _Resolved:
    """Find the visitor of each request by all that is known now; from now on, touches of that visitor concern the request."""
    routes = np.array([route_code(key[2]) for key in keys], dtype=np.uint32)
    at = np.array([request.claim.occurred_at for request in requests], dtype=np.int64)
    clicks, leads, named = (
        np.array([getattr(request, name) for request in requests], dtype=np.uint64)
        for name in ("click", "lead", "visitor")
    )
    found, steps, rows = state.touches.visitors_of(routes, clicks, leads, at + NAMED_LATE_MS)
    sent = np.array([bool(key[3]) for key in keys])
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
    return _Resolved(routes, at, clicks, leads, found, visitors, steps, elsewhere, away)


class _Led(NamedTuple):
    """What touches of the route itself lead to, as `Touches.visitors_of` returns it. To be changed in place."""

    found: npt.NDArray[np.uint64]
    steps: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]


MOVED = -1
CROWDED = {"lead": 1 << 61, "click": 1 << 62}
"""What a step is raised by once too many carry the id: what it led to before is taken back."""


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
    for place in np.flatnonzero(elsewhere).tolist():
        elsewhere[place] = route_of(state.links.text(int(visitors[place]))) == keys[place][2]
    return elsewhere


def _wanted(state: PartitionState, requests: Sequence[Request], resolved: "_Resolved") -> Columns:
    """Return the credits that requests come to by all that is known now, those of one request (``place``) after those of the one before."""
    skew = longest_skew(state.models)
    since, until = resolved.at - longest_lookback(state.models), resolved.at + skew
    only = state.links.only(resolved.visitors, (request.origin for request in requests))
    journeys, rows = state.touches.journeys(resolved.routes, resolved.visitors, since, until, only)
    # Ages are counted from the end of the window.
    journeys = journeys._replace(age=journeys.age - skew)
    values, payouts = (
        np.array([getattr(request.claim, name) for request in requests], dtype=np.int64)
        for name in ("value", "payout")
    )
    shares = attribute(journeys, values, payouts, state.models)
    moved = resolved.elsewhere | np.array([request.moved for request in requests])
    order = np.argsort(shares.place, kind="stable")
    order = order[~moved[shares.place[order]]]
    model, place, row, weight, value, payout = (column[order] for column in shares)
    money = {"weight": weight, "value": value, "payout": payout}
    named = _models(state, state.models)
    return {
        "place": place,
        **{name: column[model] for name, column in named.items()},
        **money,
        **{name: column[place] for name, column in _claims(state, requests).items()},
        **_touches(state, requests, place, np.append(rows, NOBODY)[row]),
    }


def _models(state: PartitionState, models: Models) -> Columns:
    """Return names and versions of the models."""
    names = state.interned.of(model.name for model in models)
    return {"model": names, "model_version": np.array([model.version for model in models])}


def _claims(state: PartitionState, requests: Sequence[Request]) -> Columns:
    """Return what every credit says of the conversion."""
    claims = [request.claim for request in requests]
    texts = {
        name: state.interned.of(getattr(claim, name) for claim in claims)
        for name in ("status", "currency", "goal")
    }
    return texts | {"occurred_at": np.array([claim.occurred_at for claim in claims], dtype=np.int64)}


def _touches(
    state: PartitionState, requests: Sequence[Request], place: npt.NDArray[np.int64], rows: npt.NDArray[Any]
) -> Columns:
    """Return what credits say of the touch that earns; where there is none (a row of `NOBODY`), what the request says of itself."""
    nobody = rows == NOBODY
    found = state.touches.gather(np.where(nobody, 0, rows))
    kinds = state.interned.of(TOUCH_KINDS)
    columns = {
        "touch_hi": found["event_hi"],
        "touch_lo": found["event_lo"],
        "touch_at": found["occurred_at"],
        "touch_kind": kinds[np.where(nobody, 0, found["kind"])],
        **{name: found[name] for name in (*DIMENSIONS, "bot")},
    }
    if nobody.any():
        own = {
            name: state.interned.of(getattr(request.claim, name) for request in requests)
            for name in ("campaign", "affiliate", "offer")
        }
        none = {name: np.zeros(len(requests), dtype=column.dtype) for name, column in columns.items()}
        none["channel"] = np.repeat(state.interned.of([UNATTRIBUTED]), len(requests))
        none |= own
        columns = {name: np.where(nobody, none[name][place], column) for name, column in columns.items()}
    return columns


def _difference(held: Columns, wanted: Columns) -> pl.DataFrame:
    """Return what must be added to ``held`` to make it ``wanted``: rows with a ``sign``."""
    new = pl.DataFrame({name: wanted[name] for name in ("place", *COLUMNS)}).with_columns(
        sign=pl.lit(1, pl.Int8)
    )
    if not len(held["place"]):
        return new
    old = pl.DataFrame({name: held[name] for name in ("place", *COLUMNS)}).with_columns(
        sign=pl.lit(-1, pl.Int8)
    )
    both = pl.concat((old, new), how="vertical_relaxed")
    summed = both.group_by("place", *COLUMNS, maintain_order=True).agg(pl.col("sign").sum())
    return summed.filter(pl.col("sign") != 0)


def _put_in_force(
    state: PartitionState, requests: Sequence[Request], wanted: Columns, changed: npt.NDArray[np.int64]
) -> None:
    """Remember the credits in force of the requests at the places ``changed``."""
    rows = np.isin(wanted["place"], changed)
    place = wanted["place"][rows]
    start = state.requests.credits.add({name: wanted[name][rows] for name in COLUMNS})
    starts = (start + np.searchsorted(place, changed, side="left")).tolist()
    ends = (start + np.searchsorted(place, changed, side="right")).tolist()
    for number, first, end in zip(changed.tolist(), starts, ends, strict=True):
        request = requests[number]
        request.start, request.end = first, end
        request.seen_at = max(request.seen_at, state.newest)
