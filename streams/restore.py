"""Restoring what a worker must remember from the journal, as columns, chosen by route.

Chosen by route and not by source, so that it also works when partitions were added or the cluster was replaced.
"""

import gc
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import polars as pl

from schemas.attribution import counts
from schemas.topics import IDENTIFIED_TOPICS, KIND_OF_TOPIC
from sinks.clickhouse.history import History
from streams.ahead import ahead
from streams.cold import put_touches, take_requests_back, watch_requests
from streams.linking import put_aliases, restore_links
from streams.memory import large_together, populated
from streams.settings import WorkerSettings
from streams.state.credits import credited
from streams.state.hashing import id_hashes
from streams.state.interned import Interned
from streams.state.partition import BACKWARD_MS, PartitionState, empty_partition
from streams.state.touches import remembered
from streams.steps.route import rows_by_partition

PIECES_AHEAD = 4
"""How many pieces are read ahead on each connection: some take ClickHouse longer than those before them take us."""

Newest = Mapping[tuple[str, int], int]
"""The newest record time (ms) by kind and partition number."""


class Places(NamedTuple):
    """Newest record times, the partition numbers that have any with the time after which they are restored, and how many partitions there are."""

    newest: Newest
    floors: Mapping[int, int]
    partitions: int


def restore(
    history: History,
    beside: Sequence[History],
    settings: WorkerSettings,
    numbers: Sequence[int],
    partitions: int,
    read: Callable[[int], None] = lambda rows: None,
) -> dict[int, PartitionState]:
    """Return the state of each partition number: everything journaled within the hot window before its newest record.

    Each number, and for ids each topic of it, goes by its own newest: one that is behind still needs what the others no longer do.
    ``beside``: the same journal by other connections, read at the same time; two are of use. ``read`` is told how many rows were read, piece by
    piece.
    """
    interned = Interned()
    states = {number: empty_partition(settings, interned) for number in numbers}
    newest = history.newest(numbers, partitions)
    floors = _hot(states, newest, settings)
    if not floors:
        return states
    colder = history.holds_older(floors, partitions)
    for number, floor in floors.items():
        states[number].cold_floor = floor if colder else None
    for state in states.values():
        # Who asks for an identity key or a transaction looks it up: few are asked for again.
        state.links.complete = state.transactions.complete = False
    places = Places(newest, floors, partitions)
    _reserve(states, history, settings, places)
    last: list[Callable[[], None]] = []
    streams = _side_by_side(
        [history, *beside],
        [
            partial(_requests, states, places, last),
            partial(_journeys, states, places, settings),
            partial(_ids, states, places, settings),
        ],
    )
    ids = [array for state in states.values() for one in state.ids.values() for array in one.arrays]
    columns = [array for state in states.values() for array in state.touches.arrays]
    with large_together(), populated(ids + columns), _nothing_collected():
        for rows, put in ahead(streams, PIECES_AHEAD):
            put()
            read(rows)
        for put in last:
            put()
    return states


def _reserve(
    states: dict[int, PartitionState], history: History, settings: WorkerSettings, places: Places
) -> None:
    """Make room for about what is coming, as if partitions had the same: growing step by step takes a good part of the time."""
    rows = {
        kind: round(count / places.partitions * 1.05) for kind, count in history.rows(places.floors).items()
    }
    kinds = ("impression", "click", "lead", "link")[not counts(settings.models, "impression") :]
    for number in places.floors:
        states[number].touches.reserve(sum(rows.get(kind, 0) for kind in kinds))
        for topic in IDENTIFIED_TOPICS:
            states[number].ids[topic].reserve(rows.get(KIND_OF_TOPIC[topic], 0))


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Python looks for cycles again and again while many objects are made; here all of them stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


Piece = tuple[int, Callable[[], None]]
"""Rows that were read, and what puts them into the states."""


Pieces = Generator[Piece, None, None]


def _side_by_side(
    histories: Sequence[History], readings: Sequence[Callable[[History], Pieces]]
) -> list[Pieces]:
    """Return a stream of pieces for each of ``histories`` that some of ``readings`` go to."""
    count = min(len(histories), len(readings))
    return [_in_turn(histories[place], readings[place::count]) for place in range(count)]


def _in_turn(history: History, readings: Sequence[Callable[[History], Pieces]]) -> Pieces:
    for reading in readings:
        yield from reading(history)


def _requests(
    states: dict[int, PartitionState], places: Places, last: list[Callable[[], None]], history: History
) -> Pieces:
    """Little of it is to be done once the touches that requests name are there (``last``), and who belongs to whom."""
    requests, in_force = history.requests(
        places.floors, places.partitions, credited(states[min(states)].interned)
    )

    def take_back() -> None:
        taken = take_requests_back(states, requests, in_force)
        last.append(partial(watch_requests, states, taken))

    yield requests.height + in_force.height, take_back


def _journeys(
    states: dict[int, PartitionState], places: Places, settings: WorkerSettings, history: History
) -> Pieces:
    _, floors, partitions = places
    interned = states[min(states)].interned
    impressions = counts(settings.models, "impression")
    for touches in history.touches(floors, partitions, impressions, remembered(interned)):
        yield touches.height, partial(put_touches, states, touches)
    links = history.links(list(states), partitions)
    yield links.height, partial(restore_links, states, links)
    for aliases in history.aliases(floors, partitions):
        yield aliases.height, partial(put_aliases, states, aliases)


def _ids(
    states: dict[int, PartitionState], places: Places, settings: WorkerSettings, history: History
) -> Pieces:
    for topic in IDENTIFIED_TOPICS:
        if seen := _seen(KIND_OF_TOPIC[topic], places.newest, settings):
            for ids in history.ids(KIND_OF_TOPIC[topic], seen, places.partitions):
                yield ids.height, partial(_put_ids, states, topic, ids)


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
    keys = id_hashes(frame["event_hi"].to_numpy(), frame["event_lo"].to_numpy())
    times, contents = frame["_record_time"].to_numpy(), frame["content"].to_numpy()
    for number, rows in rows_by_partition(frame):
        states[number].ids[topic].check(keys[rows], times[rows], contents[rows])
