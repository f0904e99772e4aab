"""After healing and draining: is everything acknowledged there, nothing twice, and every number right?

lost     acknowledged ids without a row that stands for them, and offsets that no flush covers
doubled  records with more than one row, and offsets that more than one flush covers
wrong    all other differences from the oracle's numbers, unbalanced flushes, places where the log and the journal part
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.audit import OWN, audit
from deploy.drained import NotDrained
from deploy.settings import clickhouse_settings
from deploy.verification import compare_now
from simulator.kafka import KafkaFailed
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import ClickHouseError
from sinks.clickhouse.sql import literals
from streams.broker import KafkaAway
from tests.support import drain

ACKNOWLEDGED = "acknowledged events kept"
PATIENCE_SECONDS = 120.0


@dataclass
class Verdict:
    """How much is lost, doubled and wrong; ``problems`` says it in words."""

    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is."""
        return not (self.lost or self.doubled or self.wrong)

    def found(self, measure: str, count: int, problem: str) -> None:
        """Add ``count`` to a measure; the problem only where that is not 0."""
        if count:
            setattr(self, measure, getattr(self, measure) + count)
            self.problems.append(f"{measure} {count}: {problem}")


def judge(values: Mapping[str, Any], acknowledged: Path) -> Verdict:
    """Wait until everything has landed and return the verdict. A pipeline that stands still is wrong, too."""
    verdict = Verdict()
    try:
        drain(dict(values), PATIENCE_SECONDS)
    except (NotDrained, ClickHouseError) as error:
        verdict.found("wrong", 1, str(error))
    try:
        look(values, acknowledged, verdict)
    except (ClickHouseError, KafkaFailed, KafkaAway) as error:
        verdict.found("wrong", 1, f"cannot be looked at: {error}")
    return verdict


def look(values: Mapping[str, Any], acknowledged: Path, verdict: Verdict) -> None:
    """Add to ``verdict`` what is to be seen now."""
    connection = connect(clickhouse_settings(values))
    try:
        _ledger(connection, verdict)
        _rows(connection, verdict)
    finally:
        connection.close()
    _numbers(values, acknowledged, verdict)
    console = Console(width=200, record=True, quiet=True)
    if not audit(values, console):
        verdict.found("wrong", 1, "funnel audit: " + console.export_text())


def _ledger(connection: Connection, verdict: Verdict) -> None:
    sums = "sum(gaps), sum(overlaps), sum(abs(imbalance)), sum(received) - sum(journaled) - sum(duplicates) - sum(rejects)"
    gaps, overlaps, imbalance, rest = connection.query(f"SELECT {sums} FROM ledger_sources")[0]
    verdict.found("lost", int(gaps), "offsets that no flush covers (ledger_gaps)")
    verdict.found("doubled", int(overlaps), "offsets that more than one flush covers (ledger_overlaps)")
    verdict.found(
        "wrong", int(imbalance) or abs(int(rest)), "received is not journaled + duplicates + rejects"
    )


def _rows(connection: Connection, verdict: Verdict) -> None:
    rows = connection.query(
        f"SELECT count() - uniqExact(_source, _offset) FROM journal WHERE kind IN {literals((*OWN, 'reject'))}"
    )
    verdict.found("doubled", int(rows[0][0]), "rows beside another one of the same record")


def _numbers(values: Mapping[str, Any], acknowledged: Path, verdict: Verdict) -> None:
    report = compare_now(values, Console(quiet=True), acknowledged)
    for check in report.checks:
        measure = "lost" if check.name == ACKNOWLEDGED else "wrong"
        count = 0 if check.ok else max(1, check.different)
        verdict.found(measure, count, f"{check.name}: {'; '.join(check.differences)}")
