"""Deriving rollups while a worker runs: which are due, in a thread of their own."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schemas.metrics import WorkerMetrics
from sinks.clickhouse.errors import NotOwner, Refused, Unavailable
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rollup import Rollup, derive
from streams.assignment import Assignment
from streams.pipeline import Pipeline

log = logging.getLogger(__name__)

Mark = object
"""What tells whether something has landed: equal marks mean that nothing has."""


@dataclass(slots=True)
class Turn:
    """When deriving is due: every ``seconds``, and earlier where that is the end of it: nothing is on its way, and something new has landed.

    Times are monotonic seconds.
    """

    seconds: float
    _last: float = float("-inf")
    _mark: Mark = None

    def is_due(self, now: float, mark: Mark, idle: bool) -> bool:
        """Return whether to derive at ``now``."""
        return now - self._last >= self.seconds or (idle and mark != self._mark)

    def done(self, now: float, mark: Mark) -> None:
        """Note that everything up to ``mark``, looked at before, was derived by statements begun at ``now``."""
        self._last, self._mark = now, mark


class Deriver(threading.Thread):
    """Derives ``rollups`` for the sources that the worker owns, with a connection of its own.

    It looks every ``look_seconds``, from start to start, whether its turn has come; with ``upon_landing`` a quarter earlier or later, right after
    something has landed where more is on its way: what lands just after a look waits for the next one. ``then`` ends a turn.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        journal: Journal,
        metrics: WorkerMetrics,
        rollups: Sequence[Rollup],
        turn: Turn,
        look_seconds: float,
        then: Callable[[Assignment], None] = lambda assignment: None,
        upon_landing: bool = False,
    ) -> None:
        super().__init__(name=f"derive {'/'.join(rollup.name for rollup in rollups)}", daemon=True)
        self._pipeline = pipeline
        self._journal = journal
        self._metrics = metrics
        self._rollups = rollups
        self._turn = turn
        self._look_seconds = look_seconds
        self._then = then
        self._upon_landing = upon_landing
        self._stopping = threading.Event()
        self.answered = float("-inf")
        """When (monotonic seconds) ClickHouse last did what it was asked."""

    def run(self) -> None:
        """Derive whenever it is due until stopped; a failure is tried again at the next look."""
        shortest = self._look_seconds * (0.75 if self._upon_landing else 1)
        pause = shortest
        while not self._stopping.wait(pause):
            if self._upon_landing and not self._pipeline.idle:
                self._pipeline.landing.wait(self._look_seconds / 2)
                if self._stopping.is_set():
                    return
            started = time.monotonic()
            try:
                self._look(started)
            except (Unavailable, NotOwner, Refused) as error:
                self._metrics.retries.labels(operation="derive").inc()
                log.warning("derive failed, trying again: %s", error)
            # Where deriving takes longer than that, ClickHouse still gets some air.
            pause = max(shortest - (time.monotonic() - started), self._look_seconds / 5)

    def _look(self, now: float) -> None:
        assignment = self._pipeline.assignment
        if assignment is None:
            return
        mark = assignment.token, dict(self._pipeline.landed)
        if not self._turn.is_due(now, mark, self._pipeline.idle):
            return
        for rollup in self._rollups:
            while self._once(rollup, assignment):
                if self._stopping.is_set():
                    return
        self._then(assignment)
        self._turn.done(now, mark)

    def _once(self, rollup: Rollup, assignment: Assignment) -> bool:
        """Derive once; return whether more is waiting."""
        started = time.perf_counter()
        derived = derive(self._journal, rollup, list(assignment.sources.values()), assignment.token)
        self.answered = time.monotonic()
        if derived.rows:
            self._metrics.derive_seconds.labels(rollup=rollup.name).observe(time.perf_counter() - started)
        return derived.more

    def ask_to_stop(self) -> None:
        """Begin nothing new."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop after the statement under way."""
        self.ask_to_stop()
        if self.is_alive():
            self.join()
