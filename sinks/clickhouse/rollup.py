"""Rollups: tables derived from the journal by one statement, with fences of their own.

The rows of one statement and the fences they lead to land as one part, or not at all. So running, catching up after a crash, filling a new rollup
and rebuilding an old one are the same call, repeated.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import ONE_PART, TABLE, Journal
from sinks.clickhouse.owners import running_comment
from sinks.clickhouse.sql import literal, literals

LIMIT = 1_000_000
FLUSHES = 1_000
"""Flush rows looked at per source and call."""
_FENCE_BUCKET = "toDateTime(0, 'UTC')"


@dataclass(frozen=True, slots=True)
class Branch:
    """One query over the journal's rows of some kinds: expressions of the columns to group by, and of the columns to add up.

    ``condition`` narrows the rows down.
    """

    kinds: tuple[str, ...]
    keys: Mapping[str, str]
    measures: Mapping[str, str]
    condition: str = "1"


@dataclass(frozen=True, slots=True)
class Rollup:
    """A table, its columns with what they are where a branch does not say, and the branches that fill it."""

    name: str
    table: str
    defaults: Mapping[str, str]
    branches: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """What one call has done: records derived, the fences it moved, and whether more is waiting."""

    rows: int
    fences: Mapping[str, int]
    more: bool


@dataclass(frozen=True, slots=True)
class Range:
    """Offsets of one source to derive: after ``since`` up to and with ``until``. ``rows`` records are in it, more may wait behind it."""

    source: str
    since: int
    until: int
    rows: int
    more: bool


def derive(
    journal: Journal, rollup: Rollup, sources: Sequence[str], token: int, limit: int = LIMIT
) -> Derived:
    """Derive what the journal holds of ``sources`` beyond the rollup's fences, at most about ``limit`` records at a time.

    Flushes are derived whole, at least one per source. Raises NotOwner where a source has a newer owner: nothing landed then. After
    Unavailable it may be called again at once, with the same sources: a statement of unknown outcome and its repetition start from the same
    fences, so they have the same deduplication token and one of them lands.
    """
    connection = journal.connection
    fences = rollup_fences(connection, rollup, sources)
    ranges = waiting(connection, fences, limit)
    if ranges:
        comment = running_comment(
            f"derive {rollup.name}", journal.group, [one.source for one in ranges], token
        )
        settings = {"insert_deduplication_token": _deduplication(fences, token), "log_comment": comment}
        connection.execute(statement(rollup, ranges, token), {**_SETTINGS, **settings})
    return Derived(
        sum(one.rows for one in ranges),
        {one.source: one.until for one in ranges},
        any(one.more for one in ranges),
    )


def rollup_fences(connection: Connection, rollup: Rollup, sources: Sequence[str]) -> dict[str, int]:
    """Return the last offset derived of each source, -1 where nothing is."""
    if not sources:
        return {}
    rows = connection.query(
        f"SELECT toString(_source), max(_fence) FROM {rollup.table} "
        f"WHERE bucket = {_FENCE_BUCKET} AND _source IN {literals(sources)} GROUP BY _source"
    )
    return {**dict.fromkeys(sources, -1), **{str(source): int(fence) for source, fence in rows}}


def waiting(connection: Connection, fences: Mapping[str, int], limit: int) -> list[Range]:
    """Return what is to be derived of each source that has newer flushes; each gets an equal share of ``limit``."""
    if not fences:
        return []
    beyond = " OR ".join(
        f"(_source = {literal(source)} AND _offset > {fence})" for source, fence in fences.items()
    )
    flushes = (
        f"SELECT toString(_source), _offset, journaled FROM {TABLE} WHERE kind = 'flush' AND ({beyond}) "
        f"ORDER BY _offset LIMIT {FLUSHES} BY _source"
    )
    found: dict[str, list[tuple[int, int]]] = {}
    for source, offset, rows in connection.query(flushes):
        found.setdefault(source, []).append((int(offset), int(rows)))
    share = limit // max(1, len(found))
    return [_range(source, fences[source], sorted(rows), share) for source, rows in sorted(found.items())]


def _range(source: str, since: int, flushes: Sequence[tuple[int, int]], share: int) -> Range:
    total = taken = 0
    for _, rows in flushes:
        if taken and total + rows > share:
            break
        total += rows
        taken += 1
    more = taken < len(flushes) or len(flushes) == FLUSHES
    return Range(source, since, flushes[taken - 1][0], total, more)


def statement(rollup: Rollup, ranges: Sequence[Range], token: int) -> str:
    """Return the INSERT that derives ``ranges`` and moves their fences."""
    selects = [_select(rollup, branch, ranges) for branch in rollup.branches] + [
        _fence_rows(rollup, ranges, token)
    ]
    return f"INSERT INTO {rollup.table} ({', '.join(rollup.defaults)}) " + " UNION ALL ".join(selects)


def _deduplication(fences: Mapping[str, int], token: int) -> str:
    state = "\n".join(f"{source} {fence}" for source, fence in sorted(fences.items()))
    return f"{token}-{hashlib.sha256(state.encode()).hexdigest()}"


def _select(rollup: Rollup, branch: Branch, ranges: Sequence[Range]) -> str:
    values = {**rollup.defaults, **branch.keys, **branch.measures}
    columns = ", ".join(f"{expression} AS {_alias(name)}" for name, expression in values.items())
    kinds = ", ".join(literal(kind) for kind in branch.kinds)
    keys = ", ".join(map(_alias, branch.keys))
    return f"SELECT {columns} FROM {TABLE} WHERE kind IN ({kinds}) AND {branch.condition} AND ({_condition(ranges)}) GROUP BY {keys}"


def _alias(name: str) -> str:
    """An alias that hides no column of the journal from the expressions beside it."""
    return f"_{name}_"


def _condition(ranges: Sequence[Range]) -> str:
    return " OR ".join(
        f"(_source = {literal(one.source)} AND _offset > {one.since} AND _offset <= {one.until})"
        for one in ranges
    )


def _fence_rows(rollup: Rollup, ranges: Sequence[Range], token: int) -> str:
    fences = ", ".join(f"({literal(one.source)}, toInt64({one.until}))" for one in ranges)
    own = {
        "bucket": _FENCE_BUCKET,
        "_source": "toLowCardinality(fence.1)",
        "_fence": "fence.2",
        "_owner": f"toUInt64({token})",
    }
    columns = ", ".join(
        f"{expression} AS {_alias(name)}" for name, expression in {**rollup.defaults, **own}.items()
    )
    return f"SELECT {columns} FROM (SELECT arrayJoin([{fences}]) AS fence)"


_SETTINGS = {
    **ONE_PART,
    "max_threads": 1,
    "optimize_on_insert": 0,
    "max_execution_time": 0,
}
