"""Rebuilding a rollup from the journal. Offline: no worker may be running.

A worker that is running nevertheless loses its sources to the rebuild and stops; it cannot spoil the result before the exchange.
"""

import secrets
from collections.abc import Callable
from dataclasses import replace

from sinks.clickhouse.journal import TABLE, Journal
from sinks.clickhouse.rollup import LIMIT, Rollup, derive


def rebuild(
    journal: Journal, rollup: Rollup, limit: int = LIMIT, progress: Callable[[int], None] = lambda rows: None
) -> int:
    """Fill a shadow table from the whole journal and put it in the rollup's place; return the records derived.

    ``progress`` is called with the records of each step. Until the exchange the rollup stays as it is.
    """
    connection = journal.connection
    sources = [
        str(row[0])
        for row in connection.query(f"SELECT DISTINCT toString(_source) FROM {TABLE} WHERE kind = 'flush'")
    ]
    token = secrets.randbits(63) | 1
    journal.take_ownership(sources, token)
    shadow = replace(rollup, table=f"{rollup.table}_rebuild")
    connection.execute(f"DROP TABLE IF EXISTS {shadow.table}")
    connection.execute(f"CREATE TABLE {shadow.table} AS {rollup.table}")
    total, more = 0, bool(sources)
    while more:
        derived = derive(journal, shadow, sources, token, limit)
        total, more = total + derived.rows, derived.more
        progress(derived.rows)
    connection.execute(f"EXCHANGE TABLES {shadow.table} AND {rollup.table}")
    connection.execute(f"DROP TABLE {shadow.table}")
    return total
