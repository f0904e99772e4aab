"""How long the journal keeps what nothing is computed from any more.

Flush rows stay: they are the checkpoint. Clicks, leads, conversions and what follows from them stay, too: a status that a partner reports after
months restates credits, and must find what they were issued from.
"""

from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.settings import ClickHouseSettings
from sinks.clickhouse.sql import literals

GOES = ("impression", "reject", "forward", "postback")
"""Kinds of rows that may go."""


def apply_retention(connection: Connection, settings: ClickHouseSettings) -> bool:
    """Make the journal keep rows of `GOES` for ``settings.retention_days``, 0: for ever; return whether that was otherwise before.

    What is too old by then goes with the next merges.
    """
    rows = connection.query(
        f"SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '{TABLE}'"
    )
    _, _, present = str(rows[0][0]).partition(" TTL ")
    wanted = expression(settings.retention_days) if settings.retention_days else ""
    if present.partition(" SETTINGS ")[0] == wanted:
        return False
    cluster = f" ON CLUSTER `{settings.cluster}`" if settings.cluster else ""
    change = f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL"
    # Not waited for: it may take hours, and nothing depends on its end.
    connection.execute(f"ALTER TABLE {TABLE}{cluster} {change}", {"mutations_sync": 0})
    return True


def expression(days: int) -> str:
    """Return the TTL, in the server's own spelling."""
    kinds = literals(GOES)
    return f"toDateTime(_ingested_at) + toIntervalDay({days}) WHERE kind IN {kinds}"
