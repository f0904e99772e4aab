"""Creating a rollup over an existing journal, and rebuilding one from the journal. Offline: no worker may be running.

A worker that is running nevertheless loses its sources to the rebuild and stops; it cannot spoil the result before the exchange.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace

from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE, Journal
from sinks.clickhouse.rollup import LIMIT, Range, Rollup, derive, rollup_fences, statement
from sinks.clickhouse.sql import literal, literals

Progress = Callable[[int], None]
_OWN = ("impression", "click", "lead", "conversion", "request", "postback", "link", "forward")
_LONG = {"max_execution_time": 0}


def rebuild(
    journal: Journal, rollup: Rollup, limit: int = LIMIT, progress: Progress = lambda rows: None
) -> int:
    """Fill a shadow table from the whole journal and put it in the rollup's place; return the records derived.

    ``progress`` is called with the records of each step. Until the exchange the rollup stays as it is. What the journal no longer holds
    (see `missing_rows`) is not in it afterwards.
    """
    connection = journal.connection
    shadow = _shadow(connection, rollup)
    total = _fill(journal, shadow, limit, progress)
    _exchange(connection, shadow, rollup)
    return total


def create(
    journal: Journal,
    rollup: Rollup,
    like: Rollup,
    limit: int = LIMIT,
    progress: Progress = lambda rows: None,
) -> int:
    """Make the rollup's table, as that of ``like`` (itself: it is there), if there is none; derive all that it lacks, and return the records derived.

    Interrupted, it goes on where it was when it is called again.
    """
    if like is not rollup:
        journal.connection.execute(f"CREATE TABLE IF NOT EXISTS {rollup.table} AS {like.table}")
    return _fill(journal, rollup, limit, progress)


def missing_rows(connection: Connection) -> int:
    """Return how many records the flush rows account for that the journal no longer holds."""
    rows = connection.query(
        f"SELECT toInt64(sumIf(journaled, kind = 'flush')) - toInt64(countIf(kind IN {literals(_OWN)})) FROM {TABLE}"
    )
    return max(0, int(rows[0][0]))


def _shadow(connection: Connection, rollup: Rollup) -> Rollup:
    """Return ``rollup`` with a new, empty table in its table's place.

    What a process left behind that died goes first, and no name comes again: its exchange, should that still arrive, finds no table, and not one
    that is half full.
    """
    made = f"{rollup.table}_rebuild"
    left = f"database = currentDatabase() AND startsWith(name, {literal(made)})"
    for (name,) in connection.query(f"SELECT name FROM system.tables WHERE {left}"):
        connection.execute(f"DROP TABLE IF EXISTS {name}")
    shadow = replace(rollup, table=f"{made}_{secrets.token_hex(8)}")
    connection.execute(f"CREATE TABLE {shadow.table} AS {rollup.table}")
    return shadow


def _exchange(connection: Connection, shadow: Rollup, rollup: Rollup) -> None:
    connection.execute(f"EXCHANGE TABLES {shadow.table} AND {rollup.table}")
    connection.execute(f"DROP TABLE {shadow.table}")


def _fill(journal: Journal, rollup: Rollup, limit: int, progress: Progress) -> int:
    connection = journal.connection
    sources = journaled_sources(connection)
    token = secrets.randbits(63) | 1
    journal.take_ownership(sources, token)
    total, more = 0, bool(sources)
    while more:
        derived = derive(journal, rollup, sources, token, limit)
        total, more = total + derived.rows, derived.more
        progress(derived.rows)
    return total


def restate_version(journal: Journal, rollup: Rollup, model: str, version: int, token: int) -> None:
    """Put what the journal holds of one version of an attribution model in the place of what the rollup holds of it; all else stays.

    Offline, and by the owner of all sources in the journal: raises NotOwner where another has taken one over. Until the exchange the rollup stays
    as it is; interrupted, it is done again.
    """
    connection = journal.connection
    sources = journaled_sources(connection)
    fences = {name: at for name, at in rollup_fences(connection, rollup, sources).items() if at >= 0}
    shadow = _shadow(connection, rollup)
    columns = ", ".join(rollup.defaults)
    others = f"_source = '' AND NOT (model = {literal(model)} AND greatest(model_version, 1) = {version})"
    connection.execute(
        f"INSERT INTO {shadow.table} ({columns}) SELECT {columns} FROM {rollup.table} WHERE {others}", _LONG
    )
    if fences:
        credits = tuple(
            replace(
                branch,
                condition=f"{branch.condition} AND model = {literal(model)} AND model_version = {version}",
            )
            for branch in rollup.branches
            if branch.kinds == ("credit",)
        )
        ranges = [Range(name, -1, at, 0, False) for name, at in sorted(fences.items())]
        connection.execute(statement(replace(shadow, branches=credits), ranges, token), _LONG)
    _exchange(connection, shadow, rollup)


def journaled_sources(connection: Connection) -> list[str]:
    """Return every source that the journal has flushes of."""
    rows = connection.query(f"SELECT DISTINCT toString(_source) FROM {TABLE} WHERE kind = 'flush' ORDER BY 1")
    return [str(source) for (source,) in rows]
