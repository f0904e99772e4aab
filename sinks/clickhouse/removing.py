"""Removing rows from the journal: a mutation, which goes on by itself once it has been submitted, and everybody waits for its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import Refused, Unavailable
from sinks.clickhouse.journal import TABLE

_UNFINISHED = (
    "SELECT toUInt64(sum(parts_to_do)), count(), max(latest_fail_reason) FROM system.mutations "
    f"WHERE database = currentDatabase() AND table = '{TABLE}' AND NOT is_done AND command LIKE '%DELETE%'"
)


def remove(connection: Connection, where: str) -> None:
    """Begin to remove the rows that meet ``where``; `wait_for_removals` tells when they are gone."""
    connection.execute(f"ALTER TABLE {TABLE} DELETE WHERE {where}", {"mutations_sync": 0})


def check_removals(connection: Connection) -> None:
    """Raise Unavailable while rows are being removed from the journal: fences would be read that are about to go."""
    if _unfinished(connection)[1]:
        raise Unavailable(0, "rows are being removed from the journal (`funnel rewind`)")


def wait_for_removals(
    connection: Connection, progress: Callable[[int], None] = lambda parts: None, pause: float = 0.2
) -> None:
    """Return when no removal is under way on any replica; ``progress`` is called with the parts still to do. Raises Refused where one fails."""
    with _replicas(connection) as everywhere:
        for one in everywhere:
            while True:
                parts, count, failure = _unfinished(one)
                progress(parts)
                if not count:
                    break
                if failure:
                    raise Refused(0, f"rows cannot be removed from the journal: {failure}")
                time.sleep(pause)


def _unfinished(connection: Connection) -> tuple[int, int, str]:
    parts, count, failure = connection.query(_UNFINISHED)[0]
    return int(parts), int(count), str(failure)


@contextmanager
def _replicas(connection: Connection) -> Iterator[list[Connection]]:
    """The connection, and one to each other replica of its shard."""
    others = []
    for replica in connection.settings.replicas:
        host, _, port = replica.rpartition(":")
        others.append(Connection(replace(connection.settings, host=host, port=int(port), replicas=())))
    try:
        yield [connection, *others]
    finally:
        for other in others:
            other.close()
