"""Signed rows: summed, they must be the final states and the final credits."""

from collections.abc import Hashable, Iterator, Mapping

from simulator.checks.reading import Tables, milliseconds, quoted
from simulator.oracle.count import State, route_of_state
from simulator.oracle.result import Result
from simulator.report import Check, Differences

_STATE_COLUMNS = [name for name in State._fields if name != "revision"]


def money_checks(result: Result, tables: Tables) -> Iterator[Check]:
    """Compare transactions, the requests in force and credits."""
    yield _transactions(result, tables)
    yield _requests(result)
    yield _credits(result, tables)


def _transactions(result: Result, tables: Tables) -> Check:
    """One +1 remains per transaction, with the final state."""
    columns = [milliseconds(name) if name.endswith("_at") else name for name in _STATE_COLUMNS]
    rows = tables.read(
        f"SELECT partner, transaction_id, {', '.join(columns)}, sum(sign) AS total FROM {tables.journal} "
        f"WHERE kind = 'count' AND {tables.is_ours} GROUP BY ALL HAVING total != 0"
    )
    expected: dict[Hashable, object] = {
        (*key, *[getattr(state, name) for name in _STATE_COLUMNS]): 1
        for key, state in result.transactions.items()
    }
    actual: dict[Hashable, object] = {tuple(row[:-1]): int(row[-1]) for row in rows}
    return compared("transactions counted", expected, actual)


def _requests(result: Result) -> Check:
    """The request in force on each journey's route states the final state; on any other route it takes back."""
    expected: dict[Hashable, object] = {}
    for key, state in result.transactions.items():
        request = (state.revision, state.status, state.recognised_value, state.recognised_payout)
        expected[*key, route_of_state(key, state)] = request
    actual: dict[Hashable, object] = {
        key: (revision, *rest) for key, (revision, moved, *rest) in result.standing.items() if not moved
    }
    check = compared("credit requests in force", expected, actual)
    lost = tuple(result.lost_forwards[:5])
    return check._replace(differences=(*check.differences, *lost))


def _credits(result: Result, tables: Tables) -> Check:
    """Every share in force, to the micro, wherever it was issued. Versions of models no longer looked at are not compared."""
    versions = ", ".join(f"({quoted(name)}, {version})" for name, version in (m.key for m in result.models))
    rows = tables.read(
        "SELECT partner, transaction_id, toString(model), model_version, toString(touch_id), toString(touch_kind), "
        "sum(sign * weight) AS w, sum(sign * value) AS v, sum(sign * payout) AS p "
        f"FROM {tables.journal} WHERE kind = 'credit' AND {tables.is_ours} AND (model, model_version) IN ({versions}) "
        "GROUP BY partner, transaction_id, model, model_version, touch_id, touch_kind HAVING w != 0 OR v != 0 OR p != 0"
    )
    expected: dict[Hashable, object] = {
        (*credit[:2], *credit[3:7]): tuple(credit[7:10]) for credit in result.credits
    }
    actual: dict[Hashable, object] = {tuple(row[:6]): tuple(map(int, row[6:])) for row in rows}
    return compared("credits in force", expected, actual)


def compared(name: str, expected: Mapping[Hashable, object], actual: Mapping[Hashable, object]) -> Check:
    """Return the check that two mappings are the same."""
    found = Differences()
    for key, want in expected.items():
        have = actual.get(key)
        if have != want:
            found.add(f"{key}: {want} expected, {'nothing' if have is None else have} found")
    for key, have in actual.items():
        if key not in expected:
            found.add(f"{key}: nothing expected, {have} found")
    return found.check(name, len(expected), len(actual))
