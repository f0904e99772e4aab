"""The rollups by minute, hour and day, group by group.

Its rows do not say which cluster they come from. Where the tables also hold other clusters' rows (an earlier run's, of an embedded
broker that forgot), these are aggregated from the journal, up to where the rollup has taken them, and taken off.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from simulator.checks.reading import Row, Tables, quoted
from simulator.oracle.result import Result
from simulator.oracle.rollup import DAY, HOUR, MEASURES, Group, Rollup
from simulator.report import Check, Differences, equal

RANGE = 100_000
SMALL = 16
TOLERANCE = 0.08
_DIMENSIONS = [name for name in Group._fields if name != "bucket"]
_TOUCHES = "('impression', 'click', 'lead')"
_STATUSES = ("pending", "approved", "rejected", "reversed")
_NOTHING = [0] * (len(MEASURES) + 1)
Sums = dict[Group, list[int]]
Bounds = tuple[int | None, int | None]
"""From, below: buckets in seconds UTC, None where open."""


def rollup_checks(result: Result, tables: Tables) -> Iterator[Check]:
    """Compare of each rollup the fences, then sums and unique visitors of all groups; of the minutes also the totals."""
    hours = result.rollup.coarser(HOUR)
    yield from _checks(result, result.rollup, _Table(tables, "rollup", "rollup_minute", "toStartOfMinute"))
    yield from _checks(result, hours, _Table(tables, "hour rollup", "rollup_hour", "toStartOfHour"))
    yield from _checks(result, hours.coarser(DAY), _Table(tables, "day rollup", "rollup_day", "toStartOfDay"))


@dataclass(frozen=True, slots=True)
class _Table:
    """A rollup's table: how it is called in checks and in ClickHouse, and the function that makes its buckets."""

    tables: Tables
    title: str
    name: str
    bucket: str

    @property
    def is_finest(self) -> bool:
        """Whether this is the rollup by minute."""
        return self.bucket == "toStartOfMinute"


def _checks(result: Result, rollup: Rollup, table: _Table) -> Iterator[Check]:
    fences = fences_of(table.tables, table.name)
    yield fence_check(result, table.title, fences)
    others = any(not source.startswith(table.tables.prefixes) for source in fences)
    unique = _merge_function(table)
    comparison = _Comparison(rollup)
    for first, below in _ranges(rollup):
        foreign = _foreign(table, first, below) if others else {}
        comparison.compare((first, below), _net(_actual(table, unique, first, below), foreign))
    yield from comparison.checks(table.title, with_totals=table.is_finest)
    if not others:
        yield _all_visitors(rollup, table, unique)


class _Comparison:
    """Compares range by range: only one range of ClickHouse's groups is in memory."""

    def __init__(self, rollup: Rollup) -> None:
        self.rollup = rollup
        self.expected = {group: sums for group, sums in rollup.sums.items() if any(sums)}
        self.totals = [0] * len(MEASURES)
        self.groups = self.visitors = 0
        self.differing, self.differing_visitors = Differences(), Differences()

    def compare(self, bounds: Bounds, actual: Sums) -> None:
        """Compare the groups within ``bounds``; the last number of each of ``actual`` are its visitors."""
        self.groups += len(actual)
        expected = {group for group in self.expected if _within(group, bounds)}
        for group in expected | actual.keys():
            *have, visitors = actual.get(group, _NOTHING)
            self.totals = [total + number for total, number in zip(self.totals, have, strict=True)]
            self.visitors += visitors
            want = self.expected.get(group, _NOTHING[:-1])
            if want != have:
                self.differing.add(f"{_said(group)}: {_measured(want, have)}")
            unique = self.rollup.visitors.get(group, 0)
            if not _is_near(unique, visitors):
                self.differing_visitors.add(f"{_said(group)}: {unique} visitors expected, {visitors} found")

    def checks(self, title: str, with_totals: bool) -> Iterator[Check]:
        """Yield what came of it; ``with_totals``: also the sum of each measure over all groups."""
        yield self.differing.check(f"{title}: groups", len(self.expected), self.groups)
        for place, measure in enumerate(MEASURES if with_totals else ()):
            yield equal(
                f"{title}: {measure}", sum(row[place] for row in self.expected.values()), self.totals[place]
            )
        expected = sum(self.rollup.visitors.values())
        yield self.differing_visitors.check(f"{title}: unique visitors by group", expected, self.visitors)


def _is_near(expected: int, actual: int) -> bool:
    """Few visitors are counted exactly, many approximately."""
    return abs(actual - expected) <= (expected * TOLERANCE if expected > SMALL else 0)


def _net(actual: Sums, foreign: Sums) -> Sums:
    """What is left of ``actual`` without ``foreign``."""
    net = dict(actual)
    for group, numbers in foreign.items():
        net[group] = [have - other for have, other in zip(net.get(group, _NOTHING), numbers, strict=True)]
        if not any(net[group][:-1]):
            del net[group]
    return net


def fences_of(tables: Tables, table: str) -> dict[str, int]:
    """Return the last offset derived of each source in a rollup's table."""
    rows = tables.read(
        f"SELECT toString(_source) AS source, max(_fence) FROM {table} WHERE source != '' GROUP BY source"
    )
    return {source: int(fence) for source, fence in rows}


def fence_check(result: Result, title: str, fences: Mapping[str, int]) -> Check:
    """Return the check that a rollup holds all sources to their end."""
    found = Differences()
    filled = {
        name: source.span.records[-1].offset for name, source in result.sources.items() if source.span.records
    }
    for name, last in filled.items():
        if fences.get(name, -1) < last:
            found.add(f"{name}: derived up to {fences.get(name, 'nothing')}, the log goes to {last}")
    return found.check(f"{title}: sources derived to the end", len(filled), len(filled) - found.count)


def _merge_function(table: _Table) -> str:
    """The function that merges the states in column ``visitors``, by the column's type."""
    rows = table.tables.read(
        "SELECT type FROM system.columns WHERE database = currentDatabase() "
        f"AND table = {quoted(table.name)} AND name = 'visitors'"
    )
    inner = str(rows[0][0]).removeprefix("AggregateFunction(")
    name, parenthesis, rest = inner.partition(",")[0].strip().partition("(")
    return f"{name}Merge({rest}" if parenthesis else f"{name}Merge"


def _ranges(rollup: Rollup) -> Iterator[Bounds]:
    """Cut time into ranges of some ten thousand groups; the outermost are open."""
    buckets = sorted(group.bucket for group in rollup.sums)
    cuts = sorted({buckets[place] for place in range(RANGE, len(buckets), RANGE)})
    yield from zip([None, *cuts], [*cuts, None], strict=True)


def _within(group: Group, bounds: Bounds) -> bool:
    first, below = bounds
    return (first is None or group.bucket >= first) and (below is None or group.bucket < below)


def _where(expression: str, first: int | None, below: int | None) -> str:
    bounds = [f"{expression} >= toDateTime({first}, 'UTC')"] if first is not None else []
    bounds += [f"{expression} < toDateTime({below}, 'UTC')"] if below is not None else []
    return " AND ".join(bounds) or "1"


def _actual(table: _Table, unique: str, first: int | None, below: int | None) -> Sums:
    sums = ", ".join(f"sum({measure}) AS sum_{measure}" for measure in MEASURES)
    nonzero = " OR ".join(f"sum_{measure} != 0" for measure in MEASURES)
    rows = table.tables.read(
        f"SELECT toUnixTimestamp(bucket) AS at, {', '.join(_DIMENSIONS)}, {sums}, {unique}(visitors) "
        f"FROM {table.name} WHERE {_where('bucket', first, below)} GROUP BY at, {', '.join(_DIMENSIONS)} HAVING {nonzero}"
    )
    return _grouped(rows)


def _grouped(rows: Sequence[Row]) -> Sums:
    width = len(Group._fields)
    return {Group(*row[:width]): [int(number) for number in row[width:]] for row in rows}


def _foreign(table: _Table, first: int | None, below: int | None) -> Sums:
    """What other clusters' journal rows, as far as they were derived, add to the rollup; visitors come last."""
    tables, bucket = table.tables, f"{table.bucket}(occurred_at)"
    touch, count, credit = f"kind IN {_TOUCHES}", "kind = 'count'", "kind = 'credit'"
    recognised = "status IN ('pending', 'approved')"
    measures = [f"countIf(kind = '{kind}')" for kind in ("impression", "click", "lead")]
    measures += [f"sumIf(sign, {count} AND status = '{status}')" for status in _STATUSES]
    signed = f"NOT {touch} AND {recognised}"
    for amount in ("value", "payout"):
        measures.append(f"sumIf(sign * ifNull({amount}, 0), {signed})")
        measures.append(f"sumIf(sign * ifNull({amount}, 0), {signed} AND status = 'approved')")
    measures.append(f"sumIf(sign * weight, {credit} AND {recognised})")
    rows = tables.read(
        f"SELECT toUnixTimestamp({bucket}) AS at, campaign, affiliate, offer, channel, country, device, bot, "
        f"if({touch}, '', toString(currency)) AS in_currency, if({credit}, toString(model), '') AS by_model, "
        f"if({credit}, toUInt16(model_version), 0) AS by_version, "
        f"{', '.join(measures)}, uniqExactIf(visitor_id, {touch}) FROM {tables.journal} "
        f"INNER JOIN (SELECT _source, max(_fence) AS fence FROM {table.name} WHERE _source != '' GROUP BY _source) "
        f"AS fences USING (_source) WHERE NOT {tables.is_ours} AND _offset <= fence AND ({touch} OR {count} OR {credit}) "
        f"AND {_where(bucket, first, below)} "
        "GROUP BY at, campaign, affiliate, offer, channel, country, device, bot, in_currency, by_model, by_version"
    )
    return _grouped(rows)


def _said(group: Group) -> str:
    return ", ".join(
        f"{name}={value}" for name, value in zip(Group._fields, group, strict=True) if value != ""
    )


def _measured(want: Sequence[int], have: Sequence[int]) -> str:
    differing = (
        f"{name} {a} expected, {b} found" for name, a, b in zip(MEASURES, want, have, strict=False) if a != b
    )
    return ", ".join(differing)


def _all_visitors(rollup: Rollup, table: _Table, unique: str) -> Check:
    """The whole table's visitors, merged over all groups: near enough."""
    found = Differences()
    expected, actual = (
        len(rollup.all_visitors),
        int(table.tables.read(f"SELECT {unique}(visitors) FROM {table.name}")[0][0]),
    )
    if not _is_near(expected, actual):
        found.add(f"off by {actual - expected:,}, more than {TOLERANCE:.0%}")
    return found.check(f"{table.title}: unique visitors of all", expected, actual)
