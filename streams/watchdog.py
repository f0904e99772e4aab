"""A worker that makes no progress while its log grows ends itself: a dead consumer can look alive for days.

It has a thread and a Kafka client of its own, so it also notices an event loop that hangs. Waiting for ClickHouse or Kafka to come back is
no standstill: each attempt counts as a sign of life, and attempts are at most a second apart (streams/patience.py).
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from schemas.metrics import WorkerMetrics
from streams.broker import Watermarks
from streams.pipeline import Pipeline
from streams.unit import Line

log = logging.getLogger(__name__)
LOOKS = 5
"""How often it looks in the time that a standstill may last."""


@dataclass(slots=True)
class Stall:
    """Since when which line stands still. Times are monotonic seconds."""

    seconds: float
    _alive: object = None
    _since: dict[Line, tuple[int, float]] = field(default_factory=dict)

    def look(
        self, positions: Mapping[Line, int], ends: Mapping[Line, int], alive: object, now: float
    ) -> list[Line]:
        """Return the lines that have stood still for ``seconds`` although the log goes on.

        ``positions``: the next offset to land; ``ends``: the log's next offset, of the lines for which it is known; ``alive``: changes with
        every other sign of life.
        """
        behind = {
            line: position for line, position in positions.items() if ends.get(line, position) > position
        }
        if alive != self._alive:
            self._alive, self._since = alive, {}
        self._since = {
            line: self._since[line]
            if line in self._since and self._since[line][0] == position
            else (position, now)
            for line, position in behind.items()
        }
        return sorted(line for line, (_, since) in self._since.items() if now - since >= self.seconds)


class Watchdog(threading.Thread):
    """Calls ``end`` once when a line of ``pipeline`` has stood still for ``seconds``, then looks no more."""

    def __init__(
        self,
        pipeline: Pipeline,
        bootstrap: str,
        metrics: WorkerMetrics,
        seconds: float,
        end: Callable[[], None],
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._pipeline = pipeline
        self._kafka = bootstrap
        self._metrics = metrics
        self._stall = Stall(seconds)
        self._end = end
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until stopped, or until there is a standstill."""
        watermarks = Watermarks(self._kafka)
        try:
            while not self._stopping.wait(self._stall.seconds / LOOKS):
                if stalled := self._look(watermarks):
                    named = ", ".join(f"{topic}/{number}" for topic, number in stalled)
                    log.critical("no progress for %g s while the log grows: %s", self._stall.seconds, named)
                    return self._end()
        finally:
            watermarks.close()

    def _look(self, watermarks: Watermarks) -> list[Line]:
        assignment = self._pipeline.assignment
        positions = (
            {line: offset for line, (offset, _) in dict(self._pipeline.landed).items()} if assignment else {}
        )
        token = assignment.token if assignment else None
        return self._stall.look(
            positions, watermarks(list(positions)), (token, self._attempts()), time.monotonic()
        )

    def _attempts(self) -> float:
        return sum(
            sample.value
            for family in self._metrics.retries.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        )

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self.is_alive():
            self.join()
