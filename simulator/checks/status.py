"""The rollup by status, group by group.

As with the others (`simulator.checks.rollup`), what the table holds of other clusters is aggregated from their journal rows and taken off.
"""

from collections.abc import Iterator, Mapping, Sequence

from simulator.checks.reading import Row, Tables
from simulator.checks.rollup import fence_check, fences_of
from simulator.oracle.result import Result
from simulator.oracle.status import MEASURES, Statuses, StatusGroup
from simulator.report import Check, Differences

_TABLE = "rollup_status"
_KEYS = ", ".join(name for name in StatusGroup._fields if name != "day")
_WIDTH = len(StatusGroup._fields)


def status_checks(result: Result, tables: Tables) -> Iterator[Check]:
    """Compare the fences, then the sums of all groups."""
    fences = fences_of(tables, _TABLE)
    yield fence_check(result, "status rollup", fences)
    foreign = any(not source.startswith(tables.prefixes) for source in fences)
    actual = _net(_actual(tables), _foreign(tables) if foreign else {})
    expected = {group: sums for group, sums in result.statuses.items() if any(sums)}
    found = Differences()
    for group in expected.keys() | actual.keys():
        want, have = expected.get(group), actual.get(group)
        if want != have:
            found.add(f"{', '.join(map(str, group))}: {want} expected, {have} found")
    yield found.check("status rollup: groups", len(expected), len(actual))


def _net(actual: Statuses, foreign: Mapping[StatusGroup, Sequence[int]]) -> Statuses:
    nothing = [0] * len(MEASURES)
    net = {
        group: [
            have - other
            for have, other in zip(actual.get(group, nothing), foreign.get(group, nothing), strict=True)
        ]
        for group in actual.keys() | foreign.keys()
    }
    return {group: sums for group, sums in net.items() if any(sums)}


def _actual(tables: Tables) -> Statuses:
    sums = ", ".join(f"sum({measure})" for measure in MEASURES)
    return _grouped(
        tables.read(
            f"SELECT toUnixTimestamp(bucket) AS day, {_KEYS}, {sums} FROM {_TABLE} WHERE _source = '' GROUP BY day, {_KEYS}"
        )
    )


def _foreign(tables: Tables) -> Statuses:
    """What other clusters' journal rows, as far as they were derived, add to the rollup: a row of the journal has up to two days."""
    days = (
        "if(kind = 'count', [('conversion', occurred_at), ('approval', approved_at)], [('click', touch_at)])"
    )
    credit = "kind = 'credit'"
    measures = (
        f"sumIf(sign, NOT {credit})",
        f"sumIf(sign * weight, {credit})",
        "sum(sign * ifNull(value, 0))",
        "sum(sign * ifNull(payout, 0))",
        f"sumIf(sign, NOT {credit} AND flag != '')",
    )
    dimensions = "campaign, affiliate, offer, channel, country, device, bot, currency"
    return _grouped(
        tables.read(
            f"SELECT toUnixTimestamp(toStartOfDay(day.2)) AS since, day.1 AS dated, status, {dimensions}, "
            f"if({credit}, toString(model), '') AS by_model, if({credit}, toUInt16(model_version), 0) AS by_version, "
            f"{', '.join(measures)} FROM {tables.journal} ARRAY JOIN {days} AS day "
            f"INNER JOIN (SELECT _source, max(_fence) AS fence FROM {_TABLE} WHERE _source != '' GROUP BY _source) AS fences USING (_source) "
            f"WHERE NOT {tables.is_ours} AND _offset <= fence AND kind IN ('count', 'credit') AND channel != 'unattributed' AND since != 0 "
            f"GROUP BY since, dated, status, {dimensions}, by_model, by_version"
        )
    )


def _grouped(rows: Sequence[Row]) -> Statuses:
    return {StatusGroup(*row[:_WIDTH]): [int(number) for number in row[_WIDTH:]] for row in rows}
