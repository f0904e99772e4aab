"""Crediting: requests taken, touches that concern them, and the signed credit rows that follow (docs/rules.md, section 7)."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.attribution import TOUCH_KINDS, Models, longest_lookback, longest_skew
from streams.leading import Resolved, aside_of, resolve, sent_on
from streams.requesting import Wish
from streams.rows import Trigger, credit_frame
from streams.state.credits import COLUMNS, Columns
from streams.state.hashing import string_hashes
from streams.state.partition import PartitionState
from streams.state.requests import Claim, Request, RequestKey, held_rows
from streams.state.touches import DIMENSIONS
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
    for place, row in enumerate(zip(*(frame[name].to_list() for name in _COLUMNS), strict=True)):
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
    resolved = resolve(state, list(triggers), requests)
    if onward is not None:
        onward += sent_on(state, list(triggers.items()), requests, resolved)
        others = [(key, trigger, one) for key, trigger in triggers.items() for one in aside_of(state, key)]
        if others:
            keys, aside = [key for key, *_ in others], [one for *_, one in others]
            pairs = [(key, trigger) for key, trigger, _ in others]
            onward += sent_on(state, pairs, aside, resolve(state, keys, aside))
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


def _wanted(state: PartitionState, requests: Sequence[Request], resolved: Resolved) -> Columns:
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
