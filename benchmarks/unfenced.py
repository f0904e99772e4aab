"""The worker without what makes a crash harmless: the other side of `benchmarks.exactly_once`. Never a worker for anybody's numbers.

Owners are not written and nothing of a former one is ended, flushes leave no flush row and carry no deduplication token, no fence is read at the
start, and how far a rollup has come is known in memory only. All the rest is the worker's own code.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streams.assignment
import streams.deriving
import streams.process
from deploy.settings import clickhouse_settings, read_settings, worker_settings
from deploy.worker import run_worker
from sinks.clickhouse.journal import ONE_PART, TABLE, Journal
from sinks.clickhouse.pack import Block
from sinks.clickhouse.rollup import LIMIT, Range, Rollup, statement
from streams.assignment import Assignment, Assignments
from streams.rows import flush_frame


def main() -> None:
    """Run the worker; exits with its status."""
    for owner, name, instead in SWITCHED_OFF:
        setattr(owner, name, instead)
    values = read_settings(os.environ)
    sys.exit(run_worker(worker_settings(values), clickhouse_settings(values)))


def _nothing(*arguments: object) -> None:
    """Stand in for what is switched off."""


def _insert(journal: Journal, block: Block, deduplication: str, sources: Sequence[str], token: int) -> None:
    journal.connection.insert_block(TABLE, block, {**ONE_PART, "insert_deduplicate": 0})


_DERIVED: dict[tuple[str, str], int] = {}


def _derive(deriver: Any, rollup: Rollup, assignment: Assignment) -> bool:
    """Derive what has landed since the last call; return whether more is waiting."""
    landed: Mapping[Any, tuple[int, int]] = dict(deriver._pipeline.landed)
    found = []
    for line, source in assignment.sources.items():
        since, until = _DERIVED.get((rollup.name, source), -1), landed.get(line, (0, 0))[0] - 1
        if until > since:
            found.append((source, since, until))
    share = LIMIT // max(1, len(found))
    ranges = [
        Range(source, since, min(until, since + share), 0, until > since + share)
        for source, since, until in found
    ]
    if ranges:
        sql = statement(rollup, ranges, assignment.token)
        deriver._journal.connection.execute(sql[: sql.rindex(" UNION ALL ")], _DERIVE_SETTINGS)
    _DERIVED.update({(rollup.name, one.source): one.until for one in ranges})
    return any(one.more for one in ranges)


_DERIVE_SETTINGS = {
    **ONE_PART,
    "insert_deduplicate": 0,
    "max_threads": 1,
    "optimize_on_insert": 0,
    "max_execution_time": 0,
}

SWITCHED_OFF: list[tuple[object, str, Callable[..., object]]] = [
    (Journal, "take_ownership", _nothing),
    (Journal, "fences", lambda journal, sources: {}),
    (Journal, "insert", _insert),
    (Assignments, "_check_rollups", _nothing),
    (streams.assignment, "check_removals", _nothing),
    (streams.process, "flush_frame", lambda rows: flush_frame([])),
    (streams.deriving.Deriver, "_once", _derive),
]


if __name__ == "__main__":
    main()
