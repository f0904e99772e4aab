"""What is older than the hot window: looked up in the journal when a flush needs it, one query per need and flush."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from tenacity import Retrying

from schemas.attribution import TOUCH_KINDS
from schemas.bounds import DEFAULTS
from sinks.clickhouse.history import History
from streams.counting import EVENT_COLUMNS
from streams.crediting import requests_of
from streams.leading import watch_visitors
from streams.linking import put_aliases
from streams.state.hashing import string_hashes
from streams.state.partition import PartitionState
from streams.state.requests import RequestKey
from streams.state.touches import DIMENSIONS, touch_columns
from streams.steps.count import StatusEvent
from streams.steps.route import rows_by_partition

_TRANSACTION = (
    "_partition",
    "_record_time",
    "partner",
    "transaction_id",
    "content",
    "event_hi",
    "event_lo",
    "judged",
    "status_at",
    *EVENT_COLUMNS,
)


_KEY = {"_partition": pl.UInt16, **dict.fromkeys(("partner", "transaction_id", "route", "person"), pl.String)}
_MODEL = {"model": pl.String, "model_version": pl.UInt16}

AHEAD_MS = DEFAULTS.ahead_ms
"""How far a record's occurred_at may lie after its record time at least, whatever is set now: it was received under what was set then."""


class Cold(NamedTuple):
    """The journal as the place of what memory has let go; ``partitions`` as the topics have now. ``patiently`` repeats a call while ClickHouse
    is away. ``impressions``: whether a model looks at them. ``ahead_ms``: how far a conversion may lie after its record time, and a touch that
    concerns it after that: a request that was let go may be concerned by what is older than the floor and this."""

    history: History
    partitions: int
    patiently: Retrying
    impressions: bool
    ahead_ms: int = AHEAD_MS

    def transactions(self, states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
        """Load the transactions that a frame of conversions concerns and memory does not hold."""
        rows = frame.select("_partition", "partner", "transaction_id").unique().rows()
        keys = [
            (partner, transaction_id)
            for number, partner, transaction_id in rows
            if not states[number].transactions.complete
            and (partner, transaction_id) not in states[number].transactions.by_key
        ]
        if keys:
            put_transactions(states, self.patiently(self.history.cold_transactions, keys, self.partitions))

    def late(self, states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
        """Load the journeys of those touches in ``frame`` that may concern a request without memory being able to tell.

        They come so late that the request may have been let go, or the request is there but not the click that leads to its visitor.
        """
        floors = {
            number: state.cold_floor + self.ahead_ms
            for number, state in states.items()
            if state.cold_floor is not None
        }
        if floors:
            floor = pl.col("_partition").replace_strict(floors, default=None, return_dtype=pl.Int64)
            unresolved = [route for state in states.values() for route in state.unresolved]
            wanted = (pl.col("occurred_at") <= floor) | pl.col("route").is_in(unresolved)
            self.journeys(states, frame.filter(wanted).select("_partition", "route").unique().rows())

    def claims(self, states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
        """Load the claims of the identity keys in ``frame`` that memory does not hold."""
        unknown = [
            (number, key, route)
            for number, key, route in frame.select("_partition", "identity_key", "route").unique().rows()
            if not states[number].links.complete and key not in states[number].links.keys
        ]
        if unknown:
            wanted = {(number, key) for number, key, _ in unknown}
            routes = sorted({route for *_, route in unknown})
            claims = self.patiently(self.history.claims_on, routes, self.partitions)
            for number, key, visitor in claims.select("_partition", "identity_key", "visitor_id").iter_rows():
                if (number, key) in wanted:
                    states[number].links.claim(key, visitor, states[number].newest)

    def journeys(self, states: Mapping[int, PartitionState], places: list[tuple[int, str]]) -> None:
        """Load everything on the given (partition number, route) pairs that memory may have let go: touches, requests, credits."""
        wanted = [
            (number, route)
            for number, route in places
            if states[number].cold_floor is not None and route not in states[number].warm
        ]
        if not wanted:
            return
        routes = sorted({route for _, route in wanted})
        kinds = [kind for kind in TOUCH_KINDS if kind != "impression" or self.impressions]
        put_touches(states, self.patiently(self.history.cold_touches_on, routes, self.partitions, kinds))
        limit = max(aliases.limit for state in states.values() for aliases in state.aliases.values())
        put_aliases(states, self.patiently(self.history.cold_aliases_on, routes, self.partitions, limit))
        put_requests(states, *self.patiently(self.history.cold_requests_on, routes, self.partitions))
        for number, route in wanted:
            states[number].warm.add(route)
            states[number].unresolved.discard(route)


def put_touches(states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
    """Put touches among those that their partition remembers. One that is there twice counts once."""
    columns = touch_columns(frame)
    # Partitions that were restored together have one numbering.
    numbered: dict[int, dict[str, npt.NDArray[np.int32]]] = {}
    for number, rows in rows_by_partition(frame):
        interned = states[number].interned
        if id(interned) not in numbered:
            numbered[id(interned)] = {name: interned.codes(frame[name]) for name in DIMENSIONS}
        states[number].touches.put(columns | numbered[id(interned)], rows)


def put_transactions(states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
    """Put journaled conversions back among the transactions."""
    # A loop over rows: conversions are few.
    for row in frame.select(_TRANSACTION).rows():
        number, record_time, partner, transaction_id, content, high, low, judged = row[:8]
        event = StatusEvent(row[8], (high << 64) | low, *row[9:])
        key = partner, transaction_id
        states[number].transactions.restore(key, event, content, record_time, bool(judged))


def put_requests(
    states: Mapping[int, PartitionState], requests: pl.DataFrame, credits_in_force: pl.DataFrame
) -> None:
    """Put journaled requests (the newest of each origin) and their credits in force back; those in memory stay as they are.

    Their touches have been put back before: they lead to the visitors whose later touches concern the requests.
    """
    watch_requests(states, take_requests_back(states, requests, credits_in_force))


Taken = dict[int, list[RequestKey]]
"""Keys of requests by partition number."""


def take_requests_back(
    states: Mapping[int, PartitionState], requests: pl.DataFrame, credits_in_force: pl.DataFrame
) -> Taken:
    """Do what `put_requests` does without touches, and return what `watch_requests` does the rest for."""
    fresh: dict[tuple[int, RequestKey], None] = {}
    taken: Taken = {}
    for (number, _, key, request), former in zip(requests_of(requests), _former(requests), strict=True):
        request.former = former
        taken.setdefault(number, []).append(key)
        held = states[number].requests
        if (key not in held.by_key or (number, key) in fresh) and held.take(key, request):
            fresh[number, key] = None
    _put_credits(states, credits_in_force, list(fresh))
    return taken


def watch_requests(states: Mapping[int, PartitionState], taken: Taken) -> None:
    """Find the visitors of requests by the touches and links that are there by now."""
    for number, keys in taken.items():
        state = states[number]
        unresolved = watch_visitors(state, [key for key in keys if key in state.requests.by_key])
        if state.cold_floor is not None:
            state.unresolved |= unresolved


def _former(requests: pl.DataFrame) -> list[frozenset[int]]:
    """Return hashes of what each request of `History.requests` and those before it named: a crash between two of them forgot that."""
    found = [frozenset[int]()] * requests.height
    if "former" in requests.columns:
        named = requests.select("former").with_row_index("place").explode("former").drop_nulls()
        hashes = string_hashes(named["former"])
        places = named["place"].to_numpy()
        edges = np.flatnonzero(np.diff(places, prepend=-1)).tolist()
        for first, end in pairwise([*edges, len(places)]):
            found[places[first]] = frozenset(hashes[first:end].tolist())
    return found


def _put_credits(
    states: Mapping[int, PartitionState], frame: pl.DataFrame, fresh: Sequence[tuple[int, RequestKey]]
) -> None:
    """Put the credits in force of the requests ``fresh`` back. Those of models that are no longer looked at stay in the journal as they are."""
    keys = pl.DataFrame([(number, *key) for number, key in fresh], schema=_KEY, orient="row")
    found = frame.join(keys.with_row_index("place"), on=list(_KEY))
    for number, rows in rows_by_partition(found):
        state = states[number]
        credits = state.requests.credits
        wanted = pl.DataFrame([model.key for model in state.models], schema=_MODEL, orient="row")
        models = wanted.with_columns(model=pl.Series(credits.interned.codes(wanted["model"])))
        part = found[rows]
        part = part.with_columns(model=pl.Series(credits.interned.codes(part["model"])))
        part = part.join(models, on=list(_MODEL), how="semi").sort("place")
        start = credits.add(credits.coded(part))
        places = part["place"].to_numpy()
        edges = np.flatnonzero(np.diff(places, prepend=-1)).tolist()
        for first, end in pairwise([*edges, len(places)]):
            request = state.requests.by_key[fresh[places[first]][1]]
            request.start, request.end = start + first, start + end
