"""Where to cut the journal so that what remains is what a worker had written at some moment.

The rows of a partition number (the same-numbered partitions of all topics) depend on each other: a credit that a click caused takes back what a
request had issued. So what goes is an end of the sequence of their flushes, whole ones, and what remains is a beginning of it. Between numbers
there are only hops, and a hop that is sent again changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.sql import literal, literals

Numbers = Mapping[int, Sequence[str]]
"""The sources of each partition number."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One source: its fence now and afterwards (-1: none), the first offset that goes, and the rows that go by kind."""

    source: str
    fence: int
    kept: int
    first: int
    rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def next_offset(self) -> int:
        """Where a worker reads on after it."""
        return self.kept + 1 if self.kept >= 0 else self.first


def flushes_since(connection: Connection, numbers: Numbers, time: int) -> dict[int, int]:
    """Return per number when (ms) the first flush was packed that has a record of ``time`` (record time, ms) or later."""
    rows = connection.query(
        f"SELECT toString(_source), toUnixTimestamp64Milli(min(_ingested_at)) FROM {TABLE} "
        f"WHERE _source IN {literals(_all(numbers))} AND _record_time >= {_moment(time)} GROUP BY _source"
    )
    return _earliest(numbers, {str(source): int(ingested) for source, ingested in rows})


def flush_at(connection: Connection, source: str, offset: int) -> tuple[int, int] | None:
    """Return when (ms) the flush was packed that covers ``offset``, and the record time (ms) there; None behind the fence."""
    rows = connection.query(
        f"SELECT count(), toUnixTimestamp64Milli(argMin(_ingested_at, _offset)) FROM {TABLE} "
        f"WHERE kind = 'flush' AND _source = {literal(source)} AND _offset >= {offset}"
    )
    times = connection.query(
        f"SELECT toUnixTimestamp64Milli(argMin(_record_time, _offset)) FROM {TABLE} WHERE _source = {literal(source)} AND _offset >= {offset}"
    )
    return (int(rows[0][1]), int(times[0][0])) if rows[0][0] else None


def cuts(connection: Connection, numbers: Numbers, since: Mapping[int, int]) -> list[Cut]:
    """Return what goes of each source if of each number all flushes go that were packed at or after ``since`` (ms)."""
    firsts = _first_offsets(connection, numbers, since)
    fences = _newest(connection, _all(numbers), "1")
    if not firsts:
        return [Cut(source, fence, fence, fence + 1) for source, fence in sorted(fences.items())]
    kept = _newest(connection, _all(numbers), f"NOT ({beyond(firsts)})")
    rows = _rows(connection, firsts)
    return [
        Cut(source, fence, kept.get(source, -1), firsts.get(source, fence + 1), rows.get(source, {}))
        for source, fence in sorted(fences.items())
    ]


def beyond(firsts: Mapping[str, int]) -> str:
    """Return the condition on rows that they are at or behind the first offset that goes of their source."""
    return " OR ".join(
        f"(_source = {literal(source)} AND _offset >= {first})" for source, first in sorted(firsts.items())
    )


def late_forwards(
    connection: Connection, firsts: Mapping[str, int], sources: Sequence[str], window: int
) -> int:
    """Return how many records of ``sources`` that go were forwarded more than ``window`` (ms of record time) before the newest that goes."""
    newest = f"(SELECT max(_record_time) FROM {TABLE} WHERE {beyond(firsts)})"
    rows = connection.query(
        f"SELECT count() FROM {TABLE} WHERE kind = 'forward' AND _source IN {literals(sources)} AND ({beyond(firsts)}) "
        f"AND _record_time < {newest} - INTERVAL {window} MILLISECOND"
    )
    return int(rows[0][0])


def overlapping(connection: Connection, sources: Sequence[str]) -> list[str]:
    """Return the sources of which flushes overlap: their offsets are those of more than one log."""
    rows = connection.query(
        f"SELECT DISTINCT toString(source) FROM ledger WHERE overlap > 0 AND source IN {literals(sources)} ORDER BY 1"
    )
    return [str(source) for (source,) in rows]


def _first_offsets(connection: Connection, numbers: Numbers, since: Mapping[int, int]) -> dict[str, int]:
    """Return the first offset that goes of each source of which something goes.

    Where an older worker's clock was wrong, a flush may have been packed "before" one with smaller offsets: then both go, and what follows them.
    """
    while since:
        packed = " OR ".join(
            f"(_source IN {literals(numbers[number])} AND _ingested_at >= {_moment(ingested)})"
            for number, ingested in since.items()
        )
        found = connection.query(
            f"SELECT toString(_source), min(first_offset) FROM {TABLE} WHERE kind = 'flush' AND ({packed}) GROUP BY _source"
        )
        firsts = {str(source): int(first) for source, first in found}
        if not firsts:
            break
        rows = connection.query(
            f"SELECT toString(_source), toUnixTimestamp64Milli(min(_ingested_at)) FROM {TABLE} "
            f"WHERE kind = 'flush' AND ({beyond(firsts)}) GROUP BY _source"
        )
        earliest = _earliest(numbers, {str(source): int(ingested) for source, ingested in rows})
        if earliest == since:
            return firsts
        since = {number: min(ingested, since.get(number, ingested)) for number, ingested in earliest.items()}
    return {}


def _newest(connection: Connection, sources: Sequence[str], where: str) -> dict[str, int]:
    rows = connection.query(
        f"SELECT toString(_source), max(_offset) FROM {TABLE} WHERE kind = 'flush' AND _source IN {literals(sources)} AND {where} GROUP BY _source"
    )
    return {str(source): int(offset) for source, offset in rows}


def _rows(connection: Connection, firsts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for source, kind, count in connection.query(
        f"SELECT toString(_source), toString(kind) AS k, count() FROM {TABLE} WHERE {beyond(firsts)} GROUP BY _source, k ORDER BY k"
    ):
        found.setdefault(str(source), {})[str(kind)] = int(count)
    return found


def _earliest(numbers: Numbers, ingested: Mapping[str, int]) -> dict[int, int]:
    return {
        number: min(ingested[source] for source in sources if source in ingested)
        for number, sources in numbers.items()
        if any(source in ingested for source in sources)
    }


def _all(numbers: Numbers) -> list[str]:
    return [source for sources in numbers.values() for source in sources]


def _moment(milliseconds: int) -> str:
    return f"fromUnixTimestamp64Milli({milliseconds}, 'UTC')"
