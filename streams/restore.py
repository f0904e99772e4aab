"""Restoring what a worker must remember from the journal, as columns, chosen by route.

Chosen by route and not by source, so that it also works when partitions were added or the cluster was replaced.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from schemas.attribution import counts
from schemas.topics import IDENTIFIED_TOPICS, KIND_OF_TOPIC
from sinks.clickhouse.history import History
from streams.cold import put_requests, put_touches, put_transactions
from streams.linking import restore_links
from streams.settings import WorkerSettings
from streams.state.hashing import id_hashes
from streams.state.partition import BACKWARD_MS, PartitionState, empty_partition

Newest = Mapping[tuple[str, int], int]
"""The newest record time (ms) by kind and partition number."""


def restore(
    history: History, settings: WorkerSettings, numbers: Sequence[int], partitions: int
) -> dict[int, PartitionState]:
    """Return the state of each partition number: everything journaled within the hot window before its newest record.

    Each number, and for ids each topic of it, goes by its own newest: one that is behind still needs what the others no longer do.
    """
    states = {number: empty_partition(settings) for number in numbers}
    newest = history.newest(numbers, partitions)
    floors = _hot(states, newest, settings)
    if not floors:
        return states
    colder = history.holds_older(floors, partitions)
    for number, floor in floors.items():
        states[number].cold_floor = floor if colder else None
    for state in states.values():
        state.links.complete = False
    for topic in IDENTIFIED_TOPICS:
        if seen := _seen(KIND_OF_TOPIC[topic], newest, settings):
            _put_ids(states, topic, history.ids(KIND_OF_TOPIC[topic], seen, partitions))
    impressions = counts(settings.models, "impression")
    put_touches(states, history.touches(floors, partitions, impressions))
    restore_links(states, history.links(numbers, partitions))
    put_transactions(states, history.transactions(floors, partitions))
    put_requests(states, *history.requests(floors, partitions))
    return states


def _hot(states: dict[int, PartitionState], newest: Newest, settings: WorkerSettings) -> dict[int, int]:
    """Note each partition's newest record time; return after which time it is restored, of those that have anything."""
    for (_, number), time in newest.items():
        states[number].newest = max(states[number].newest, time)
    window = max(settings.hot_window_ms, settings.dedup_window_ms + BACKWARD_MS)
    return {number: state.newest - window for number, state in states.items() if state.newest}


def _seen(kind: str, newest: Newest, settings: WorkerSettings) -> dict[int, int]:
    """Return after which time the ids of a kind are restored, by partition number."""
    window = settings.dedup_window_ms + BACKWARD_MS
    return {number: time - window for (one, number), time in newest.items() if one == kind}


def _put_ids(states: dict[int, PartitionState], topic: str, frame: pl.DataFrame) -> None:
    for (number,), part in frame.partition_by("_partition", as_dict=True, maintain_order=True).items():
        keys = id_hashes(part["event_hi"].to_numpy(), part["event_lo"].to_numpy())
        states[int(number)].ids[topic].check(
            keys, part["_record_time"].to_numpy(), part["content"].to_numpy()
        )
