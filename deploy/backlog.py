"""How much is still on its way: in Kafka but not in the journal, in the journal but not in every rollup."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import known_sources, newest_flushes
from sinks.clickhouse.rollup import Rollup, rollup_fences
from streams.broker import Cluster
from streams.sources import name_sources


class Backlog(NamedTuple):
    """Records not in the journal yet, journaled offsets not derived yet (by each rollup), and where the log ended at this look.

    That is the sum of its ends.
    """

    records: int
    derive: int
    end: int

    @property
    def empty(self) -> bool:
        """Whether all that was in the log at this look is in the journal and in the rollups."""
        return not self.records and not self.derive


Ends = Callable[[], dict[tuple[str, int], tuple[int, int]]]
"""Returns the log's first and next offset per (topic, partition)."""


def backlog_of(
    connection: Connection, cluster: Cluster, ends: Ends, rollups: Sequence[Rollup] = ROLLUPS
) -> Backlog:
    """Return what is still on its way for the sources of ``cluster``: to the journal, and to ``rollups``."""
    bounds = ends()
    sources = name_sources(cluster, bounds, known_sources(connection, cluster.id))
    fences = newest_flushes(connection, list(sources.values()))
    derived = [rollup_fences(connection, rollup, list(sources.values())) for rollup in rollups]
    records = waiting = 0
    for line, (start, end) in bounds.items():
        fence = fences.get(sources[line], start - 1)
        # What retention has deleted unread never comes.
        records += max(0, end - max(start, fence + 1))
        waiting += sum(max(0, fence - upto.get(sources[line], start - 1)) for upto in derived)
    return Backlog(records, waiting, sum(end for _, end in bounds.values()))
