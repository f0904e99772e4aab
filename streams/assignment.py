"""What a worker owns between two rebalances, and how it comes to own it.

The order is what makes a late insert of a former owner impossible: write the new owner, wait out or kill running inserts, only then read
the fences, restore, and read on after them.
"""

import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tenacity import RetryError

from schemas.attribution import counts
from schemas.metrics import WorkerMetrics
from schemas.topics import TOPICS
from sinks.clickhouse.errors import Unavailable
from sinks.clickhouse.history import History
from sinks.clickhouse.journal import Journal
from streams.cold import Cold
from streams.errors import LogLossError, OwnershipLost
from streams.patience import patiently
from streams.process import Processor
from streams.resolving import Resolver
from streams.restore import restore
from streams.settings import WorkerSettings
from streams.steps.enrich import Lookups
from streams.unit import Line, Lines, source_name

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Assignment:
    """The lines owned, under one owner token, with the state that belongs to them."""

    token: int
    sources: dict[Line, str]
    lines: Lines
    processor: Processor
    abandoned: threading.Event = field(default_factory=threading.Event)

    def covers(self, bounds: Mapping[Line, tuple[int, int]]) -> bool:
        """Return whether this is the assignment of exactly these lines."""
        return self.sources.keys() == bounds.keys()

    def abandon(self) -> None:
        """Tell whatever still works on it to stop: after a revocation nothing is retried."""
        self.abandoned.set()


@dataclass(slots=True)
class Assignments:
    """Makes assignments."""

    settings: WorkerSettings
    journal: Journal
    history: History
    lookups: Lookups
    cluster_id: str
    partitions: int
    metrics: WorkerMetrics
    give_up: threading.Event = field(default_factory=threading.Event)
    resolver: Resolver | None = None

    def take(self, bounds: Mapping[Line, tuple[int, int]]) -> Assignment:
        """Do as `_take`; while ClickHouse is away, wait and begin again. Raises OwnershipLost once ``give_up`` is set."""
        try:
            return patiently(Unavailable, "restore", self.give_up, self.metrics)(self._take, bounds)
        except RetryError as error:
            raise OwnershipLost("stopped while waiting for ClickHouse") from error

    def _take(self, bounds: Mapping[Line, tuple[int, int]]) -> Assignment:
        """Take ownership of the lines in ``bounds`` (first and next offset of each log), restore, and return the assignment.

        Raises LogLossError where a fence lies outside its log.
        """
        sources = {line: source_name(self.cluster_id, line) for line in sorted(bounds)}
        token = secrets.randbits(63) | 1
        names = list(sources.values())
        self.journal.take_ownership(names, token)
        fences = self.journal.fences(names)
        next_offset = {
            line: self._next(line, sources[line], fences.get(sources[line]), bounds[line]) for line in sources
        }
        numbers = sorted({number for _, number in sources})
        states = restore(self.history, self.settings, numbers, self.partitions)
        log.info("owner of partitions %s of %s", numbers, ", ".join(TOPICS))
        patience = patiently(Unavailable, "cold", self.give_up, self.metrics)
        impressions = counts(self.settings.models, "impression")
        cold = Cold(self.history, self.partitions, patience, impressions)
        processor = Processor(
            self.settings, self.lookups, states, sources, self.partitions, cold, self.resolver
        )
        return Assignment(token, sources, Lines(next_offset), processor)

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
