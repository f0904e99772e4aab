"""`funnel rollup`: what the rollups are like, and filling one while no worker runs."""

from collections.abc import Callable
from typing import NamedTuple

from deploy.offline import OfflineError
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import TABLE, Journal
from sinks.clickhouse.rebuild import create, missing_rows, rebuild
from sinks.clickhouse.rollup import Rollup

Progress = Callable[[int], None]
BY_NAME = {rollup.name: rollup for rollup in ROLLUPS}


class State(NamedTuple):
    """A rollup's table: its rows, the sources in it, and the journaled records that it lacks."""

    name: str
    table: str
    exists: bool
    rows: int
    sources: int
    waiting: int


def named(name: str) -> Rollup:
    """Return the rollup of that name. Raises OfflineError."""
    if name not in BY_NAME:
        raise OfflineError(f"{name!r} is not a rollup; known: {', '.join(BY_NAME)}")
    return BY_NAME[name]


def states(connection: Connection) -> list[State]:
    """Return the state of each rollup."""
    return [_state(connection, rollup) for rollup in ROLLUPS]


def _state(connection: Connection, rollup: Rollup) -> State:
    if not connection.columns(rollup.table):
        return State(rollup.name, rollup.table, False, 0, 0, to_derive(connection))
    fences = f"SELECT _source, max(_fence) AS upto FROM {rollup.table} WHERE bucket = toDateTime(0, 'UTC') AND _source != '' GROUP BY _source"
    [(rows,)] = connection.query(f"SELECT count() FROM {rollup.table} WHERE _source = ''")
    [(sources,)] = connection.query(f"SELECT count() FROM ({fences})")
    [(waiting,)] = connection.query(
        f"SELECT sum(j.journaled) FROM {TABLE} AS j LEFT JOIN ({fences}) AS f ON j._source = f._source "
        "WHERE j.kind = 'flush' AND (f._source = '' OR j._offset > f.upto)"
    )
    return State(rollup.name, rollup.table, True, int(rows), int(sources), int(waiting or 0))


def to_derive(connection: Connection) -> int:
    """Return how many records the journal has in all."""
    return int(connection.query(f"SELECT sum(journaled) FROM {TABLE} WHERE kind = 'flush'")[0][0] or 0)


def create_now(journal: Journal, rollup: Rollup, progress: Progress) -> int:
    """Fill ``rollup``, new or unfinished; return the records derived. Raises OfflineError where its table is gone and no other has its columns."""
    alike = [one for one in ROLLUPS if one is not rollup and one.defaults.keys() == rollup.defaults.keys()]
    if not alike and not journal.connection.columns(rollup.table):
        raise OfflineError(
            f"the table {rollup.table} is gone, and no other has its columns: restore it, empty"
        )
    return create(journal, rollup, next(iter(alike), rollup), progress=progress)


def rebuild_now(journal: Journal, rollup: Rollup, progress: Progress, accept_loss: bool) -> int:
    """Make ``rollup`` anew; return the records derived. Raises OfflineError where it would lose what the journal no longer holds."""
    if not accept_loss and (missing := missing_rows(journal.connection)):
        raise OfflineError(
            f"the journal no longer holds {missing:,} records that its flush rows account for (FUNNEL_JOURNAL_RETENTION_DAYS): the rebuilt "
            "rollup would not have them either. --accept-loss takes that."
        )
    return rebuild(journal, rollup, progress=progress)
