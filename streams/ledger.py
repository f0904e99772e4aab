"""Whether the flushes of the sources that a worker owns follow one another, told as metrics. The views `ledger_*` tell it of all that ever landed."""

from collections.abc import Iterable
from typing import NamedTuple

from schemas.metrics import WorkerMetrics
from schemas.topics import TOPICS
from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import flush_ranges, newest_flushes
from streams.assignment import Assignment


class Walked(NamedTuple):
    """What a walk along flushes came to: the next offset expected, and the offsets that none or more than one of them covers."""

    expected: int | None
    gaps: int
    overlaps: int


def walk(expected: int | None, ranges: Iterable[tuple[int, int]]) -> Walked:
    """Walk along flushes, (first, last offset) in order of the last; ``expected`` is where the first one should begin, None if anywhere."""
    gaps = overlaps = 0
    for first, last in ranges:
        if expected is not None:
            gaps += max(0, first - expected)
            overlaps += max(0, min(expected, last + 1) - first)
        expected = max(last + 1, expected or 0)
    return Walked(expected, gaps, overlaps)


class LedgerWatch:
    """Walks on from where it was, beginning with the seam to the former owner's last flush. For one thread."""

    def __init__(self, connection: Connection, metrics: WorkerMetrics) -> None:
        self._connection = connection
        self._metrics = metrics
        self._token = 0
        self._walked: dict[str, Walked] = {}

    def look(self, assignment: Assignment) -> None:
        """Set the gauges by what has landed until now. Raises what `Connection` raises."""
        sources = list(assignment.sources.values())
        if assignment.token != self._token:
            before = newest_flushes(self._connection, sources, other_than=assignment.token)
            self._walked = {
                name: Walked(before[name] + 1 if name in before else None, 0, 0) for name in sources
            }
            self._token = assignment.token
        since = {name: one.expected for name, one in self._walked.items()}
        for name, ranges in flush_ranges(self._connection, since).items():
            last = self._walked[name]
            now = walk(last.expected, ranges)
            self._walked[name] = Walked(now.expected, last.gaps + now.gaps, last.overlaps + now.overlaps)
        self._tell(assignment)

    def _tell(self, assignment: Assignment) -> None:
        for topic in TOPICS:
            mine = [self._walked[name] for line, name in assignment.sources.items() if line[0] == topic]
            self._metrics.ledger_gaps.labels(topic=topic).set(sum(one.gaps for one in mine))
            self._metrics.ledger_overlaps.labels(topic=topic).set(sum(one.overlaps for one in mine))
