"""Rows of the journal by name, as explaining asks for them.

What a question costs goes by how many there are and by the columns they name, not by the rows they find. So a route of ordinary size is read once and
whole, and what is asked of it afterwards is answered from memory; on a crowded one every question is the engine's.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.sql import literal, literals

Row = dict[str, Any]
Where = Sequence[Mapping[str, Collection[str | int]]]
"""Rows of which one of these holds: every column that it names has one of the values it gives."""

MOST_READ = 256
"""Rows of a route that is read whole."""
MOST_PLACES = 2_000
"""Rows that a question names one by one. Of more, the engine finds the places again, which takes it longer than being told a few."""
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


class JournalRows:
    """Questions to the journal. ``names``: per kind the columns that its rows are asked for. Every method raises what `Connection` raises."""

    def __init__(self, connection: Connection, names: Mapping[str, Iterable[str]]) -> None:
        self._connection = connection
        self._names = {kind: frozenset(columns) | _ALWAYS for kind, columns in names.items()}
        self._places: dict[str, list[tuple[str, str, int]]] = {}
        self._whole: dict[str, list[Row]] = {}

    def named(self, sql: str) -> list[Row]:
        """Return the answer to any question."""
        names, rows = self._connection.query_named(sql)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def of(self, kinds: Collection[str], where: Where) -> list[Row]:
        """Return the rows of ``kinds`` of which ``where`` holds, by time."""
        return self._read(kinds, _sql(where))

    def on(self, routes: Iterable[str], kinds: Collection[str], where: Where) -> list[Row]:
        """Return what `of` does, on ``routes``: the projection by route says where its rows are."""
        routes = set(routes)
        self._look(routes - self._places.keys())
        whole = (row for route in routes & self._whole.keys() for row in self._whole[route])
        found = [row for row in whole if row["kind"] in kinds and _holds(where, row)]
        if crowded := routes - self._whole.keys():
            found += self._at(crowded, kinds, _sql(where))
        return sorted(found, key=lambda row: (row["occurred_at"], row["event_id"]))

    def _look(self, routes: set[str]) -> None:
        """Find the places of ``routes``, and read those that are not crowded."""
        if not routes:
            return
        self._places |= {route: [] for route in routes}
        names = ", ".join(f"{_SPELLED[name]} AS `{name}`" for name in ("kind", "source", "offset", "route"))
        for row in self.named(_places(self._names, routes, names)):
            self._places[row["route"]].append((row["kind"], row["source"], row["offset"]))
        small = {route for route in routes if len(self._places[route]) <= MOST_READ}
        self._whole |= {route: [] for route in small}
        kinds = {kind for route in small for kind, _, _ in self._places[route]}
        for row in self._at(small, kinds, "1"):
            self._whole[row["route"]].append(row)

    def _at(self, routes: set[str], kinds: Collection[str], where: str) -> list[Row]:
        places = [place for route in routes for place in self._places[route] if place[0] in kinds]
        if not places:
            return []
        told = (
            ", ".join(f"({literal(kind)}, {literal(source)}, {offset})" for kind, source, offset in places)
            if len(places) <= MOST_PLACES
            else _places(kinds, routes)
        )
        on = f"j.route IN {literals(sorted(routes))} AND (j.kind, j._source, j._offset) IN ({told})"
        return self._read(kinds, f"{on} AND ({where})", "route")

    def _read(self, kinds: Collection[str], where: str, *more: str) -> list[Row]:
        names = sorted(frozenset(more).union(*(self._names[kind] for kind in kinds)))
        columns = ", ".join(f"{_SPELLED.get(name, f'j.{name}')} AS `{name}`" for name in names)
        on = f"j.kind IN {literals(sorted(kinds))} AND ({where})"
        return self.named(f"SELECT {columns} FROM {TABLE} AS j WHERE {on} ORDER BY j.occurred_at, j.event_id")


def _places(kinds: Iterable[str], routes: Iterable[str], columns: str = "kind, _source, _offset") -> str:
    on = f"j.kind IN {literals(sorted(kinds))} AND j.route IN {literals(sorted(routes))}"
    return f"SELECT {columns} FROM {TABLE} AS j WHERE {on}"


def _holds(where: Where, row: Row) -> bool:
    return any(all(row[name] in values for name, values in one.items()) for one in where)


def _sql(where: Where) -> str:
    each = (" AND ".join(_in(name, values) for name, values in one.items()) for one in where)
    return " OR ".join(f"({one})" for one in each) or "0"


def _in(name: str, values: Collection[str | int]) -> str:
    if not values:
        return "0"
    said = (str(value) if isinstance(value, int) else literal(value) for value in sorted(values, key=str))
    return f"j.{name} IN ({', '.join(said)})"


def picked(row: Mapping[str, Any], names: Sequence[str]) -> Row:
    """Return some columns of a row."""
    return {name: row[name] for name in names}


def known(rows: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    """Return the values of a column that are not empty, each once, in order."""
    return sorted({row[name] for row in rows if row[name]})
