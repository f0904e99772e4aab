"""Rows of the journal by name, as explaining asks for them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.sql import literal, literals

Row = dict[str, Any]
_ALWAYS = frozenset({"kind", "event_id", "source", "offset", "occurred_at"})
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


MOST_PLACES = 2_000
"""Rows that a question names one by one. Of more, the engine finds the places again, which takes it longer than being told a few."""


class JournalRows:
    """Questions to the journal. ``names``: per kind the columns that its rows are asked for. Every method raises what `Connection` raises."""

    def __init__(self, connection: Connection, names: Mapping[str, Iterable[str]]) -> None:
        self._connection = connection
        self._names = {kind: frozenset(columns) | _ALWAYS for kind, columns in names.items()}
        self._places: dict[str, list[tuple[str, str, int]]] = {}

    def named(self, sql: str) -> list[Row]:
        """Return the answer to any question."""
        names, rows = self._connection.query_named(sql)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def of(self, kinds: Sequence[str], where: str, names: Iterable[str] = ()) -> list[Row]:
        """Return the rows of ``kinds`` of which ``where`` holds, by time; only ``names`` of their columns, if there are any."""
        asked = _ALWAYS.union(names) if names else frozenset().union(*(self._names[kind] for kind in kinds))
        columns = ", ".join(f"{_SPELLED.get(name, f'j.{name}')} AS `{name}`" for name in sorted(asked))
        return self.named(
            f"SELECT {columns} FROM {TABLE} AS j WHERE j.kind IN {literals(kinds)} AND ({where}) ORDER BY j.occurred_at, j.event_id"
        )

    def on(
        self, routes: Iterable[str], kinds: Sequence[str], where: str, names: Iterable[str] = ()
    ) -> list[Row]:
        """Return what `of` does, on ``routes``: the projection by route says where its rows are, once for each route."""
        routes = set(routes)
        self._find(routes - self._places.keys())
        places = [place for route in routes for place in self._places[route] if place[0] in kinds]
        if not places:
            return []
        told = (
            ", ".join(f"({literal(kind)}, {literal(source)}, {offset})" for kind, source, offset in places)
            if len(places) <= MOST_PLACES
            else _places(kinds, routes)
        )
        on = f"j.route IN {literals(sorted(routes))} AND (j.kind, j._source, j._offset) IN ({told})"
        return self.of(kinds, f"{on} AND ({where})", names)

    def _find(self, routes: set[str]) -> None:
        if not routes:
            return
        self._places |= {route: [] for route in routes}
        names = ", ".join(f"{_SPELLED[name]} AS `{name}`" for name in ("kind", "source", "offset", "route"))
        for row in self.named(_places(list(self._names), routes, names)):
            self._places[row["route"]].append((row["kind"], row["source"], row["offset"]))


def _places(kinds: Iterable[str], routes: Iterable[str], columns: str = "kind, _source, _offset") -> str:
    return f"SELECT {columns} FROM {TABLE} AS j WHERE j.kind IN {literals(kinds)} AND j.route IN {literals(sorted(routes))}"


def picked(row: Mapping[str, Any], names: Sequence[str]) -> Row:
    """Return some columns of a row."""
    return {name: row[name] for name in names}


def known(rows: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    """Return the values of a column that are not empty, each once, in order."""
    return sorted({row[name] for row in rows if row[name]})
