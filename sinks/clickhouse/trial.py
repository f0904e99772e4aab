"""Whether the server would take rows into the journal, asked of a table that keeps nothing: it has the journal's columns and constraints."""

import uuid
from types import TracebackType
from typing import Self

import polars as pl

from sinks.clickhouse.errors import Refused
from sinks.clickhouse.journal import TABLE, Journal
from sinks.clickhouse.sql import literal

PREFIX = f"{TABLE}_trial_"
LEFT_SECONDS = 3_600
"""A trial that is older belongs to a process that was killed in the middle of it."""


class Trial:
    """A trial of the rows of one flush, by the journal's connection. Every method raises Unavailable."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._table = PREFIX + uuid.uuid4().hex

    def __enter__(self) -> Self:
        connection = self._journal.connection
        connection.execute(f"CREATE TABLE IF NOT EXISTS {self._table} AS {TABLE} ENGINE = Null")
        for (left,) in connection.query(
            f"SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, {literal(PREFIX)}) "
            f"AND metadata_modification_time < now() - {LEFT_SECONDS}"
        ):
            connection.execute(f"DROP TABLE IF EXISTS {left}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._journal.connection.execute(f"DROP TABLE IF EXISTS {self._table}")

    def refusal(self, frame: pl.DataFrame) -> Refused | None:
        """Return the error with which the rows of ``frame`` would be refused, None if they would be taken."""
        try:
            block = self._journal.pack(frame)
            self._journal.connection.insert_block(self._table, block, {"async_insert": 0})
        except Refused as error:
            return error
        return None
