"""Owners of sources: the newest token of a source may write its rows, and nobody else.

The journal and the rollups have a constraint that looks the token up. The order at a takeover: write the owner, end what still runs under an
older one, only then read the fences.
"""

from collections.abc import Sequence
from dataclasses import replace

from sinks.clickhouse.client import Connection
from sinks.clickhouse.sql import containing


def write_owners(connection: Connection, sources: Sequence[str], token: int) -> None:
    """Make ``token`` (not 0) the owner of ``sources``, on this server and on every other replica of its shard."""
    assert token, "0 is what joinGet answers for an unknown source"
    rows = [(source, token) for source in sources]
    connection.insert_rows("owners", ("source", "token"), rows)
    for replica in connection.settings.replicas:
        host, _, port = replica.rpartition(":")
        other = Connection(replace(connection.settings, host=host, port=int(port), replicas=()))
        try:
            other.insert_rows("owners", ("source", "token"), rows)
        finally:
            other.close()


def running_comment(purpose: str, group: str, sources: Sequence[str], token: int) -> str:
    """Return the comment by which a running statement can be found: each source stands between bars."""
    return f"funnel {purpose} group={group} owner={token} sources=|{'|'.join(sources)}|"


def stop_running(connection: Connection, sources: Sequence[str]) -> None:
    """Kill the statements whose comment names one of ``sources``, and wait until they have ended."""
    if not sources:
        return
    named = " OR ".join(f"Settings['log_comment'] LIKE {containing(f'|{source}|')}" for source in sources)
    connection.execute(f"KILL QUERY WHERE {named} SYNC")
