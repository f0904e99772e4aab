"""Restoring what a worker must remember from the journal, as columns, chosen by route.

Chosen by route and not by source, so that it also works when partitions were added or the cluster was replaced.
"""

from collections.abc import Sequence

import polars as pl

from schemas.attribution import counts
from schemas.topics import IDENTIFIED_TOPICS, KIND_OF_TOPIC
from sinks.clickhouse.history import History
from streams.cold import put_requests, put_touches, put_transactions
from streams.linking import restore_links
from streams.settings import WorkerSettings
from streams.state.hashing import id_hashes
from streams.state.partition import BACKWARD_MS, PartitionState, empty_partition


def restore(
    history: History, settings: WorkerSettings, numbers: Sequence[int], partitions: int
) -> dict[int, PartitionState]:
    """Return the state of each partition number: everything journaled within the hot window before the newest record."""
    states = {number: empty_partition(settings) for number in numbers}
    newest = history.newest(numbers, partitions)
    if newest is None:
        return states
    floor = newest - max(settings.hot_window_ms, settings.dedup_window_ms + BACKWARD_MS)
    colder = history.holds_older(numbers, partitions, floor)
    for state in states.values():
        state.newest = newest
        state.cold_floor = floor if colder else None
        state.links.complete = False
    for topic in IDENTIFIED_TOPICS:
        _put_ids(states, topic, history.ids(KIND_OF_TOPIC[topic], numbers, partitions, floor))
    impressions = counts(settings.models, "impression")
    put_touches(states, history.touches(numbers, partitions, floor, impressions))
    restore_links(states, history.links(numbers, partitions))
    put_transactions(states, history.transactions(numbers, partitions, floor))
    put_requests(states, *history.requests(numbers, partitions, floor))
    return states


def _put_ids(states: dict[int, PartitionState], topic: str, frame: pl.DataFrame) -> None:
    for (number,), part in frame.partition_by("_partition", as_dict=True, maintain_order=True).items():
        keys = id_hashes(part["event_hi"].to_numpy(), part["event_lo"].to_numpy())
        states[int(number)].ids[topic].check(
            keys, part["_record_time"].to_numpy(), part["content"].to_numpy()
        )
