"""Rows of the journal by name, as explaining asks for them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.sql import literals

Row = dict[str, Any]
_SPELLED = {
    "source": "toString(j._source)",
    "offset": "j._offset",
    "record_time": "j._record_time",
    "known_at": "j._ingested_at",
    **{
        name: f"toString(j.{name})"
        for name in ("kind", "event_id", "touch_id", "channel", "route", "model", "purpose")
    },
}


class JournalRows:
    """Questions for ``names`` of the journal's columns. Every method raises what `Connection` raises."""

    def __init__(self, connection: Connection, names: Iterable[str]) -> None:
        self._connection = connection
        self._columns = ", ".join(
            f"{_SPELLED.get(name, f'j.{name}')} AS `{name}`" for name in sorted(set(names))
        )

    def named(self, sql: str) -> list[Row]:
        """Return the answer to any question."""
        names, rows = self._connection.query_named(sql)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def of(self, where: str) -> list[Row]:
        """Return the rows of which ``where`` holds, by time."""
        return self.named(
            f"SELECT {self._columns} FROM {TABLE} AS j WHERE {where} ORDER BY j.occurred_at, j.event_id"
        )

    def on(self, routes: Iterable[str], kinds: Sequence[str], where: str) -> list[Row]:
        """Return rows of ``kinds`` on ``routes``: the projection by route says where they are."""
        on = f"j.kind IN {literals(kinds)} AND j.route IN {literals(sorted(set(routes)))}"
        places = f"SELECT kind, _source, _offset FROM {TABLE} AS j WHERE {on}"
        return self.of(f"{on} AND (j.kind, j._source, j._offset) IN ({places}) AND ({where})")


def picked(row: Mapping[str, Any], names: Sequence[str]) -> Row:
    """Return some columns of a row."""
    return {name: row[name] for name in names}


def known(rows: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    """Return the values of a column that are not empty, each once, in order."""
    return sorted({row[name] for row in rows if row[name]})
