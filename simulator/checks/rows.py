"""Journal rows that stand for one record each: events, requests, rejects, forwarded records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.framing import schema_id_of
from schemas.ids import route_of, transaction_route
from schemas.registry import latest_schema
from schemas.topics import CONVERSIONS, CREDIT_REQUESTS, EVENT_TOPICS, KIND_OF_TOPIC, LINKS, POSTBACKS, TOPICS
from simulator.checks.reading import Row, Tables, milliseconds, quoted
from simulator.log import Record
from simulator.oracle.enrich import Enrichment
from simulator.oracle.reject import decoder, event_id_of
from simulator.oracle.result import Fate, Result, SourceResult
from simulator.report import Check, Differences, equal

RANGE = 50_000
_NOT_COMPARED = frozenset(("event_id", "request_id", "route", "trigger_partition", "trigger_offset"))
_NAMED_DETAIL = frozenset(
    ("unknown_schema", "event_id", "missing", "too_long", "time", "status", "amount", "currency", "hop")
)
Progress = Callable[[int], None]
Expected = Callable[[Record], tuple[Any, ...]]


class Comparison(NamedTuple):
    """Which rows of a source are compared, by which columns (name → expression), and what is expected of a record.

    The first column is the event's id.
    """

    kind: str
    fates: tuple[Fate, ...]
    columns: Mapping[str, str]
    expected: Expected


def row_checks(result: Result, tables: Tables, ids: set[str], progress: Progress) -> Iterator[Check]:
    """Compare kind by kind. ``ids`` gets the ids (lower case) of all events and rejects that ClickHouse holds."""
    every = list(result.sources.values())
    for topic in TOPICS:
        compared = [(source, _journaled(result, source)) for source in every if source.line[0] == topic]
        yield _check(f"journal: {_kind(topic)} rows", compared, tables, ids, progress)
    yield _check(
        "journal: reject rows", [(source, _rejected(source)) for source in every], tables, ids, progress
    )
    forwarded = [(source, _forwarded(result, source)) for source in every]
    yield _check("journal: forward rows", forwarded, tables, set(), progress)
    yield _strangers(result, _actual_counts(tables))


def _kind(topic: str) -> str:
    return "request" if topic == CREDIT_REQUESTS else KIND_OF_TOPIC[topic]


def _actual_counts(tables: Tables) -> dict[tuple[str, str], int]:
    rows = tables.read(
        f"SELECT toString(_source), toString(kind), count() FROM {tables.journal} WHERE {tables.is_ours} GROUP BY 1, 2"
    )
    return {(source, kind): int(count) for source, kind, count in rows}


def _strangers(result: Result, counts: Mapping[tuple[str, str], int]) -> Check:
    """Rows of a kind that their source cannot have, or of a source that the log does not have."""
    single = {_kind(topic) for topic in TOPICS}
    found = [
        f"{source}: {count:,} rows of kind {kind}"
        for (source, kind), count in sorted(counts.items())
        if source not in result.sources
        or (kind in single and kind != _kind(result.sources[source].line[0]))
        or (kind == "count" and result.sources[source].line[0] != CONVERSIONS)
    ]
    return equal("journal: rows of no record", 0, len(found), found)


def _check(
    name: str,
    compared: Sequence[tuple[SourceResult, Comparison]],
    tables: Tables,
    ids: set[str],
    progress: Progress,
) -> Check:
    found = Differences()
    expected = actual = 0
    for source, comparison in compared:
        expected += source.count(*comparison.fates)
        for part in _parts(source):
            rows = _read(tables, source.name, comparison, part)
            actual += len(rows)
            ids.update(row[1] for row in rows)
            _compare(comparison, source, part, rows, found)
            progress(len(rows))
    return found.check(name, expected, actual)


class Part(NamedTuple):
    """Some ten thousand records of a source: their places, and the offsets between which their rows are (None: open)."""

    places: slice
    first: int | None
    below: int | None


def _parts(source: SourceResult) -> Iterator[Part]:
    """Cut a source into parts; the outermost are open, whatever rows may be there."""
    offsets = [record.offset for record in source.span.records]
    for start in range(0, max(len(offsets), 1), RANGE):
        end = start + RANGE
        yield Part(
            slice(start, end), offsets[start] if start else None, offsets[end] if end < len(offsets) else None
        )


def _read(tables: Tables, source: str, comparison: Comparison, part: Part) -> Sequence[Row]:
    bounds = [f"_offset >= {part.first}"] if part.first is not None else []
    bounds += [f"_offset < {part.below}"] if part.below is not None else []
    where = " AND ".join([f"kind = {quoted(comparison.kind)}", f"_source = {quoted(source)}", *bounds])
    columns = ", ".join(("_offset", *comparison.columns.values()))
    return tables.read(f"SELECT {columns} FROM {tables.journal} WHERE {where} ORDER BY _offset")


def _compare(
    comparison: Comparison, source: SourceResult, part: Part, rows: Sequence[Row], found: Differences
) -> None:
    actual: dict[int, Row] = {}
    for row in rows:
        if row[0] in actual:
            found.add(f"{source.name} {row[0]}: two rows")
        actual[row[0]] = row
    for fate, record in zip(source.fates[part.places], source.span.records[part.places], strict=True):
        if fate not in comparison.fates:
            continue
        if record.offset not in actual:
            found.add(f"{source.name} {record.offset}: no row")
            continue
        row = actual.pop(record.offset)
        expected = comparison.expected(record)
        if tuple(row[1:]) != expected:
            found.add(f"{source.name} {record.offset}: {_difference(comparison, expected, row[1:])}")
    for offset in actual:
        found.add(f"{source.name} {offset}: a row that should not be")


def _difference(comparison: Comparison, expected: Sequence[Any], actual: Sequence[Any]) -> str:
    differing = (
        f"{name} {want!r} expected, {have!r} found"
        for name, want, have in zip(comparison.columns, expected, actual, strict=True)
        if want != have
    )
    return ", ".join(differing)[:300]


def _expression(column: str) -> str:
    if column.endswith(("_at", "_time")):
        return milliseconds(column)
    return f"toString({column})" if column in ("event_id", "touch_id", "route") else column


def _journaled(result: Result, source: SourceResult) -> Comparison:
    """Rows of accepted events and requests: id, all other fields, what follows from them, route and record time."""
    topic = source.line[0]
    fields = [name for name in latest_schema(topic).field_names if name not in _NOT_COMPARED]
    added = Enrichment._fields if topic in EVENT_TOPICS else ()
    columns = {name: _expression(name) for name in ("event_id", *fields, *added, "route", "_record_time")}

    def expected(record: Record) -> tuple[Any, ...]:
        decoded = _decoded(result, topic, record)
        enrichment = source.enrichments.get(record.offset, ())
        values = [decoded[name] for name in fields]
        return (event_id_of(topic, decoded), *values, *enrichment, _route(topic, decoded), record.time)

    return Comparison(_kind(topic), (Fate.JOURNALED,), columns, expected)


def _decoded(result: Result, topic: str, record: Record) -> dict[str, Any]:
    schema_id = schema_id_of(record.value)
    assert schema_id is not None and record.value is not None, "only records that were decoded come here"
    decode = decoder(topic, schema_id, result.given)
    assert decode is not None, "only records that were decoded come here"
    # What an older schema lacks is in the journal as its default.
    fields = latest_schema(topic).parsed["fields"]
    return {field["name"]: field["default"] for field in fields if "default" in field} | decode(record.value)


def _route(topic: str, decoded: Mapping[str, Any]) -> str:
    if topic in (CREDIT_REQUESTS, LINKS):
        return str(decoded["route"])
    if topic in (CONVERSIONS, POSTBACKS):
        return transaction_route(decoded["partner"], decoded["transaction_id"])
    return route_of(decoded["visitor_id"])


def _rejected(source: SourceResult) -> Comparison:
    named = ", ".join(map(quoted, sorted(_NAMED_DETAIL)))
    columns = {
        "event_id": "toString(event_id)",
        "reason": "toString(reason)",
        "detail": f"if(reason IN ({named}), detail, '')",
        "raw": "lower(hex(raw))",
        "raw_key": "lower(hex(raw_key))",
    }

    def expected(record: Record) -> tuple[Any, ...]:
        reject = source.rejects[record.offset]
        return (
            reject.event_id,
            reject.reason,
            reject.detail,
            (record.value or b"").hex(),
            (record.key or b"").hex(),
        )

    return Comparison("reject", (Fate.REJECTED,), columns, expected)


def _forwarded(result: Result, source: SourceResult) -> Comparison:
    topic = source.line[0]
    columns = {"event_id": "toString(event_id)", "route": "toString(route)"}

    def expected(record: Record) -> tuple[Any, ...]:
        decoded = _decoded(result, topic, record)
        return event_id_of(topic, decoded), _route(topic, decoded)

    return Comparison("forward", (Fate.FORWARDED,), columns, expected)
