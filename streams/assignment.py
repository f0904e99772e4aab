"""What a worker owns between two rebalances, and how it comes to own it.

The order is what makes a late insert of a former owner impossible: write the new owner, wait out or kill running inserts, only then read
the fences, restore, and read on after them.
"""

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tenacity import RetryError

from schemas.attribution import NAMED_LATE_MS, counts
from schemas.metrics import WorkerMetrics
from schemas.topics import TOPICS
from sinks.clickhouse.errors import Unavailable
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.history import History
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.removing import check_removals
from sinks.clickhouse.rollup import rollup_fences
from streams.broker import Cluster, KafkaAway
from streams.cold import AHEAD_MS, Cold
from streams.errors import LogLossError, OwnershipLost, RollupAheadError, SplitError
from streams.patience import patiently
from streams.process import Processor
from streams.refusing import DataRefused
from streams.resolving import Resolver
from streams.restore import restore
from streams.settings import WorkerSettings
from streams.sources import name_sources
from streams.steps.enrich import Lookups
from streams.unit import Line, Lines, Outcome, Unit

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Assignment:
    """The lines owned, under one owner token, with the state that belongs to them."""

    token: int
    sources: dict[Line, str]
    lines: Lines
    processor: Processor
    ingested_at: int = 0
    """When (ms UTC) the newest flush of these sources was packed. The next one is later: that is their order, whatever the clocks say."""
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """What the cluster called the topics when it was made; empty where it gives no ids."""
    abandoned: threading.Event = field(default_factory=threading.Event)

    def covers(self, bounds: Mapping[Line, tuple[int, int]]) -> bool:
        """Return whether this is the assignment of exactly these lines."""
        return self.sources.keys() == bounds.keys()

    def process(self, unit: Unit) -> tuple[Processor, Outcome]:
        """Process ``unit``; tell by what, since `Assignments.redo` changes it. For the processing thread."""
        return self.processor, self.processor.process(unit)

    def abandon(self) -> None:
        """Tell whatever still works on it to stop: after a revocation nothing is retried."""
        self.abandoned.set()


@dataclass(slots=True)
class Assignments:
    """Makes assignments. ``describe`` returns what the cluster is at that moment; ``beside``: the journal by connections that restoring uses at the
    same time as that of ``history``."""

    settings: WorkerSettings
    journal: Journal
    history: History
    beside: Sequence[History]
    lookups: Lookups
    describe: Callable[[], Cluster]
    metrics: WorkerMetrics
    give_up: threading.Event = field(default_factory=threading.Event)
    resolver: Resolver | None = None

    def take(self, bounds: Mapping[Line, tuple[int, int]]) -> Assignment:
        """Do as `_take`; while Kafka or ClickHouse is away, wait and begin again. Raises OwnershipLost once ``give_up`` is set."""
        try:
            # Asked each time: a rebalance may be there because partitions were added.
            cluster = patiently(KafkaAway, "metadata", self.give_up, self.metrics)(self.describe)
            return patiently(Unavailable, "restore", self.give_up, self.metrics)(self._take, bounds, cluster)
        except RetryError as error:
            raise OwnershipLost("stopped while waiting for Kafka or ClickHouse") from error

    def _take(self, bounds: Mapping[Line, tuple[int, int]], cluster: Cluster) -> Assignment:
        """Take ownership of the lines in ``bounds`` (first and next offset of each log), restore, and return the assignment.

        Raises LogLossError where a fence lies outside its log, RecreatedTopicError, SplitError.
        """
        numbers = sorted({number for _, number in bounds})
        if len(bounds) != len(numbers) * len(TOPICS):
            raise SplitError(sorted(bounds))
        known = self.journal.known_sources(cluster.id)
        sources = name_sources(cluster, bounds, known, self.settings.accept_log_loss)
        partitions = cluster.partitions[TOPICS[0]]
        token = secrets.randbits(63) | 1
        names = list(sources.values())
        self.journal.take_ownership(names, token)
        check_removals(self.journal.connection)
        fences = self.journal.fences(names)
        self._check_rollups(names, fences)
        next_offset = {
            line: self._next(line, sources[line], fences.get(sources[line]), bounds[line]) for line in sources
        }
        started, read = time.monotonic(), self.metrics.restored_rows.inc
        states = restore(self.history, self.beside, self.settings, numbers, partitions, read)
        self.metrics.restore_seconds.set(time.monotonic() - started)
        log.info("owner of partitions %s of %s", numbers, ", ".join(TOPICS))
        patience = patiently(Unavailable, "cold", self.give_up, self.metrics)
        impressions = counts(self.settings.models, "impression")
        ahead_ms = max(AHEAD_MS, self.settings.bounds.ahead_ms) + NAMED_LATE_MS
        cold = Cold(self.history, partitions, patience, impressions, ahead_ms)
        processor = Processor(self.settings, self.lookups, states, sources, partitions, cold, self.resolver)
        newest = self.journal.newest_ingestion(names)
        return Assignment(token, sources, Lines(next_offset), processor, newest, cluster.topic_ids)

    def redo(self, assignment: Assignment, unit: Unit, error: DataRefused) -> Outcome:
        """Process ``unit``, which ``error`` has kept from landing, once more: from the state that the journal has, with the bad records as rejects.

        Raises what ClickHouse said where they are rejects already, and OwnershipLost once the assignment is abandoned.
        """
        former = assignment.processor
        refused = {line: dict(known) for line, known in former.refused.items()}
        for line, reasons in error.records.items():
            refused.setdefault(line, {}).update(reasons)
        if refused == former.refused:
            raise error.refused
        log.warning("rejecting records: %s", error)
        numbers = sorted(former.states)
        patience = patiently(Unavailable, "restore", assignment.abandoned, self.metrics)
        try:
            states = patience(restore, self.history, self.beside, self.settings, numbers, former.partitions)
        except RetryError as gone:
            raise OwnershipLost("abandoned while restoring") from gone
        assignment.processor = replace(former, states=states, refused=refused)
        return assignment.processor.process(unit.again())

    def _check_rollups(self, sources: Sequence[str], fences: Mapping[str, int]) -> None:
        """Raise RollupAheadError where a rollup holds what the journal does not."""
        for rollup in ROLLUPS:
            derived = rollup_fences(self.journal.connection, rollup, sources)
            for source, upto in derived.items():
                if upto > (fence := fences.get(source, -1)):
                    raise RollupAheadError(rollup.name, source, upto, fence)

    def _next(self, line: Line, source: str, fence: int | None, bounds: tuple[int, int]) -> int:
        start, end = bounds
        if fence is None:
            return start
        # A fence beyond the log's end shows at the first fetch, as an offset out of range: not every broker's answer to "what is your
        # latest offset" can be trusted with a refusal.
        if fence + 1 < start and not self.settings.accept_log_loss:
            raise LogLossError(source, fence, start, end)
        if self.settings.accept_log_loss and not start <= fence + 1 <= end:
            log.warning("%s: going on at %d although the journal covers up to %d", source, start, fence)
            return start
        return fence + 1
