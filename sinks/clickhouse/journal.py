"""The journal: the one table that workers write, and the checkpoint they start from.

A flush is one INSERT of one block into one part. The fence of a source is the last offset that a flush has covered.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from sinks.clickhouse.client import Connection
from sinks.clickhouse.columns import Column
from sinks.clickhouse.errors import Unpackable
from sinks.clickhouse.owners import running_comment, stop_running, write_owners
from sinks.clickhouse.pack import Block, pack_block
from sinks.clickhouse.sql import literal, literals

TABLE = "journal"
BLOCK_ROWS = 1_000_000
"""Rows of a flush stay below this, so that the server never cuts its block."""


class Journal:
    """The journal by one connection, for one thread. ``group`` names the consumer group in the server's list of running queries.

    Every method raises what `Connection` raises.
    """

    def __init__(self, connection: Connection, group: str) -> None:
        self.connection = connection
        self.group = group
        self._columns: list[Column] = []

    @property
    def columns(self) -> list[Column]:
        """The table's columns, read from the server once."""
        if not self._columns:
            self._columns = self.connection.columns(TABLE)
        return self._columns

    def pack(self, frame: pl.DataFrame) -> Block:
        """Pack the rows of one flush (see `pack_block`): one owner, one time of ingestion. Raises Unpackable, too."""
        assert 0 < frame.height < BLOCK_ROWS, f"a flush of {frame.height} rows is not one block"
        for name in ("_ingested_at", "_owner"):
            assert frame[name].null_count() == 0 and frame[name].n_unique() == 1, f"a flush has one {name}"
        columns = self.columns
        try:
            return pack_block(frame, columns)
        except (pl.exceptions.PolarsError, KeyError, ValueError, OverflowError) as error:
            raise Unpackable(error) from error

    def insert(self, block: Block, deduplication: str, sources: Sequence[str], token: int) -> None:
        """Land ``block`` as a whole. The same ``deduplication`` token lands once, however often it is sent.

        Raises NotOwner where another worker has taken a source over: nothing of it landed then.
        """
        comment = running_comment("flush", self.group, sources, token)
        self.connection.insert_block(
            TABLE, block, {**ONE_PART, "insert_deduplication_token": deduplication, "log_comment": comment}
        )

    def known_sources(self, cluster_id: str) -> set[str]:
        """Return the sources of a cluster that the journal has flushes of, and those that ever had an owner."""
        return known_sources(self.connection, cluster_id)

    def fences(self, sources: Sequence[str]) -> dict[str, int]:
        """Return the last offset covered of each source that has one."""
        return newest_flushes(self.connection, sources)

    def newest_ingestion(self, sources: Sequence[str]) -> int:
        """Return when (ms UTC) the newest flush of ``sources`` was packed, 0 before the first."""
        rows = self.connection.query(
            f"SELECT toUnixTimestamp64Milli(max(_ingested_at)) FROM {TABLE} WHERE kind = 'flush' AND _source IN {literals(sources)}"
        )
        return int(rows[0][0])

    def take_ownership(self, sources: Sequence[str], token: int) -> None:
        """Make ``token`` the owner of ``sources``, and end whatever a former owner has running. Read fences only afterwards."""
        write_owners(self.connection, sources, token)
        self.kill_running(sources)

    def kill_running(self, sources: Sequence[str]) -> None:
        """End running inserts and derivations that touch ``sources``, and wait until they have ended."""
        stop_running(self.connection, sources)


ONE_PART: Mapping[str, object] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "max_insert_threads": 1,
    "max_insert_block_size": 4 * BLOCK_ROWS,
    "min_insert_block_size_rows": 4 * BLOCK_ROWS,
    "min_insert_block_size_bytes": 1 << 40,
    "max_partitions_per_insert_block": 1,
    "throw_on_max_partitions_per_insert_block": 1,
}
"""Settings under which an INSERT becomes one part or fails: no cutting, no second partition."""


def known_sources(connection: Connection, cluster_id: str) -> set[str]:
    """Return the names of the cluster's sources in flush rows, and among the owners: a source without records has no flush yet."""
    ours = f"startsWith({{}}, {literal(cluster_id + '/')})"
    rows = connection.query(
        f"SELECT DISTINCT toString(_source) FROM {TABLE} WHERE kind = 'flush' AND {ours.format('_source')} "
        f"UNION DISTINCT SELECT toString(source) FROM owners WHERE {ours.format('source')}"
    )
    return {str(source) for (source,) in rows}


def newest_flushes(connection: Connection, sources: Sequence[str], other_than: int = 0) -> dict[str, int]:
    """Return the offset of the newest flush row of each source that has one; with ``other_than`` of those that this owner did not write."""
    if not sources:
        return {}
    rows = connection.query(
        f"SELECT toString(_source), max(_offset) FROM {TABLE} "
        f"WHERE kind = 'flush' AND _source IN {literals(sources)} AND _owner != {other_than} GROUP BY _source"
    )
    return {str(source): int(offset) for source, offset in rows}


def flush_ranges(connection: Connection, since: Mapping[str, int | None]) -> dict[str, list[tuple[int, int]]]:
    """Return (first, last offset) of the flushes that end at or after ``since`` (None: of all), per source, in order of the last."""
    if not since:
        return {}
    wanted = " OR ".join(
        f"(_source = {literal(source)}{'' if offset is None else f' AND _offset >= {offset}'})"
        for source, offset in since.items()
    )
    found: dict[str, list[tuple[int, int]]] = {}
    for source, first, last in connection.query(
        f"SELECT toString(_source), first_offset, _offset FROM {TABLE} WHERE kind = 'flush' AND ({wanted}) ORDER BY _source, _offset, first_offset"
    ):
        found.setdefault(str(source), []).append((int(first), int(last)))
    return found
