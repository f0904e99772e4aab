"""What is older than the hot window: looked up in the journal when a flush needs it, one query per need and flush."""

from collections.abc import Mapping

import polars as pl

from streams.counting import EVENT_COLUMNS
from streams.crediting import requests_of
from streams.state.partition import PartitionState
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
    """Put journaled requests (the newest per key wins) and their credits in force back; those in memory stay as they are."""
    fresh = set()
    for number, _, key, request in requests_of(requests):
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
