"""What is older than the hot window: looked up in the journal when a flush needs it, one query per need and flush."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl
from tenacity import Retrying

from sinks.clickhouse.history import History
from streams.counting import EVENT_COLUMNS
from streams.crediting import requests_of, watch_visitors
from streams.state.partition import PartitionState
from streams.state.requests import RequestKey
from streams.steps.attribute import Credit
from streams.steps.count import StatusEvent

_TRANSACTION = (
    "_partition",
    "_record_time",
    "partner",
    "transaction_id",
    "content",
    "event_hi",
    "event_lo",
    "status_at",
    *EVENT_COLUMNS,
)
_CREDIT = (
    "model",
    "weight",
    "value",
    "payout",
    "touch_hi",
    "touch_lo",
    "touch_at",
    "campaign",
    "affiliate",
    "offer",
    "channel",
    "country",
    "device",
    "bot",
    "status",
    "occurred_at",
    "currency",
    "goal",
)


AHEAD_MS = 3_600_000
"""How far a record's occurred_at may lie after its record time: what a cold request may be concerned by is older than the floor and this."""


class Cold(NamedTuple):
    """The journal as the place of what memory has let go; ``partitions`` as the topics have now. ``patiently`` repeats a call while ClickHouse
    is away."""

    history: History
    partitions: int
    patiently: Retrying

    def transactions(self, states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
        """Load the transactions that a frame of conversions concerns and memory does not hold."""
        rows = frame.select("_partition", "partner", "transaction_id").unique().rows()
        keys = [
            (partner, transaction_id)
            for number, partner, transaction_id in rows
            if states[number].cold_floor is not None
            and (partner, transaction_id) not in states[number].transactions.by_key
        ]
        if keys:
            put_transactions(states, self.patiently(self.history.cold_transactions, keys, self.partitions))

    def late(self, states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
        """Load the journeys of those touches in ``frame`` that may concern a request without memory being able to tell.

        They come so late that the request may have been let go, or the request is there but not the click that leads to its visitor.
        """
        floors = {
            number: state.cold_floor + AHEAD_MS
            for number, state in states.items()
            if state.cold_floor is not None
        }
        if floors:
            floor = pl.col("_partition").replace_strict(floors, default=None, return_dtype=pl.Int64)
            unresolved = [route for state in states.values() for route in state.unresolved]
            wanted = (pl.col("occurred_at") <= floor) | pl.col("route").is_in(unresolved)
            self.journeys(states, frame.filter(wanted).select("_partition", "route").unique().rows())

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
        put_touches(states, self.patiently(self.history.cold_touches_on, routes, self.partitions))
        put_requests(states, *self.patiently(self.history.cold_requests_on, routes, self.partitions))
        for number, route in wanted:
            states[number].warm.add(route)
            states[number].unresolved.discard(route)


def put_touches(states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
    """Put touches among those that their partition remembers. One that is there twice counts once."""
    for (number,), part in frame.partition_by("_partition", as_dict=True, maintain_order=True).items():
        states[int(number)].touches.add(part)


def put_transactions(states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
    """Put journaled conversions back among the transactions."""
    # A loop over rows: conversions are few.
    for row in frame.select(_TRANSACTION).iter_rows():
        number, record_time, partner, transaction_id, content, high, low, status_at = row[:8]
        event = StatusEvent(status_at, (high << 64) | low, *row[8:])
        states[number].transactions.restore((partner, transaction_id), event, content, record_time)


def put_requests(
    states: Mapping[int, PartitionState], requests: pl.DataFrame, credits_in_force: pl.DataFrame
) -> None:
    """Put journaled requests (the newest per key wins) and their credits in force back; those in memory stay as they are.

    Their touches have been put back before: they lead to the visitors whose later touches concern the requests.
    """
    fresh = set()
    keys: dict[int, list[RequestKey]] = {}
    for number, _, key, request in requests_of(requests):
        keys.setdefault(number, []).append(key)
        held = states[number].requests
        if request.revision > held.known_revision(key) and (key not in held.by_key or (number, key) in fresh):
            held.put(key, request)
            fresh.add((number, key))
    names = ("_partition", "partner", "transaction_id", "route", *_CREDIT)
    for row in credits_in_force.select(names).iter_rows():
        number, partner, transaction_id, route = row[:4]
        key = partner, transaction_id, route
        if (number, key) in fresh:
            model, weight, value, payout, high, low, *rest = row[4:]
            credit = Credit(model, weight, value, payout, (high << 64) | low, *rest)
            states[number].requests.by_key[key].in_force.append(credit)
    for number, ours in keys.items():
        state = states[number]
        unresolved = watch_visitors(state, [key for key in ours if key in state.requests.by_key])
        if state.cold_floor is not None:
            state.unresolved |= unresolved
