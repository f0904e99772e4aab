"""From batches taken to rows landed: at most two flushes exist, one being filled or processed and one being inserted.

Event loop: intake and order. A processing thread: the steps. A flushing thread: hops, then the insert. Deriving threads: rollups. Each of
the threads that talk to ClickHouse has a connection of its own.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from schemas.metrics import WorkerMetrics
from streams.assignment import Assignment, Assignments
from streams.errors import OwnershipLost
from streams.fill import Fill, FlushPolicy
from streams.flushing import Flusher
from streams.landing import Landing
from streams.observe import observe_flush, observe_state
from streams.refusing import DataRefused
from streams.settings import WorkerSettings
from streams.steps.batch import RawBatch
from streams.unit import Line, Outcome, Unit

log = logging.getLogger(__name__)

Commit = Callable[[Mapping[Line, int]], Awaitable[None]]


class Pipeline:
    """One worker's pipeline. All methods are for the event loop that called `start`."""

    def __init__(
        self, settings: WorkerSettings, assignments: Assignments, flusher: Flusher, metrics: WorkerMetrics
    ) -> None:
        self._settings = settings
        self._assignments = assignments
        self._flusher = flusher
        self._metrics = metrics
        self._fill = Fill(FlushPolicy(settings.flush_rows, settings.flush_ms / 1000), time.monotonic)
        self._processing = ThreadPoolExecutor(1, "process")
        self._flushing = ThreadPoolExecutor(1, "flush")
        self._current: Assignment | None = None
        self._flush: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._failed = asyncio.Event()
        self._failure: BaseException | None = None
        self.commit: Commit | None = None
        self.landed: dict[Line, tuple[int, int]] = {}
        self.landing = Landing()

    async def positions(self, bounds: Mapping[Line, tuple[int, int]]) -> Mapping[Line, int]:
        """Become the owner of the lines in ``bounds`` and return where to read on. Asked again, it returns the same lines' positions."""
        if self._current is None or not self._current.covers(bounds):
            await self.drain()
            loop = asyncio.get_running_loop()
            started = time.monotonic()
            self._metrics.rebalances.inc()
            self._current = await loop.run_in_executor(self._processing, self._assignments.take, bounds)
            self._metrics.takeover_seconds.set(time.monotonic() - started)
            self._metrics.partitions.set(len(self._current.processor.states))
            self.landed = {line: (offset, 0) for line, offset in self._current.lines.next_offset.items()}
        return dict(self._current.lines.next_offset)

    @property
    def assignment(self) -> Assignment | None:
        """What the worker owns now."""
        return self._current

    @property
    def idle(self) -> bool:
        """Whether all that was taken in has landed. Any thread may ask."""
        flush = self._flush
        return self._fill.empty and self._idle.is_set() and (flush is None or flush.done())

    async def put(self, batch: RawBatch) -> None:
        """Take a batch; waits while a whole flush is waiting already (more intake waits, nothing is dropped)."""
        await self._fill.put(batch)

    async def drain(self) -> None:
        """Let the assignment go: finish what is in flight within the deadline, or abandon it. What was not processed is read again."""
        current, self._current = self._current, None
        await self._fill.clear()
        if current is None:
            return
        try:
            async with asyncio.timeout(self._settings.stop_seconds):
                await self._idle.wait()
                if self._flush is not None:
                    await asyncio.wait([self._flush])
        except TimeoutError:
            log.warning(
                "abandoning a flush in flight: it did not land within %s s", self._settings.stop_seconds
            )
        current.abandon()

    async def run(self) -> None:
        """Process and flush until cancelled. Raises what makes the worker stop."""
        while True:
            batches = await self._fill.take()
            current = self._current
            if current is None or not batches:
                continue
            self._idle.clear()
            try:
                await self._one(current, batches)
            finally:
                self._idle.set()

    async def _one(self, current: Assignment, batches: list[RawBatch]) -> None:
        unit = current.lines.unit(batches)
        if unit is None:
            return
        loop = asyncio.get_running_loop()
        processor, outcome = await loop.run_in_executor(self._processing, current.process, unit)
        observe_state(self._metrics, current.processor.states)
        await self._landed()
        if current.processor is not processor:
            # The flush before was processed once more, and this one knew the state that it had the first time.
            unit = unit.again()
            _, outcome = await loop.run_in_executor(self._processing, current.process, unit)
        self._flush = asyncio.create_task(self._land(current, unit, outcome), name="flush")
        self._flush.add_done_callback(self._note_failure)

    def _note_failure(self, flush: asyncio.Task[None]) -> None:
        if not flush.cancelled() and (error := flush.exception()) is not None:
            self._failure = error
            self._failed.set()

    async def failing(self) -> None:
        """Raise what a flush has raised, as soon as it has: on a quiet log `run` would find out only with the next batch."""
        await self._failed.wait()
        assert self._failure is not None
        raise self._failure

    async def _landed(self) -> None:
        """Wait for the flush in flight; raise what it raised."""
        flush, self._flush = self._flush, None
        if flush is not None:
            await flush

    async def _land(self, current: Assignment, unit: Unit, outcome: Outcome) -> None:
        try:
            outcome = await self._land_or_redo(current, unit, outcome)
        except OwnershipLost:
            if current is self._current:
                raise
            log.info("a flush was abandoned: its partitions have moved")
            return
        observe_flush(self._metrics, outcome, time.time() * 1000)
        if current is not self._current:
            return
        self.landed.update(
            {line: (tally.last_offset + 1, tally.last_time) for line, tally in outcome.tallies.items()}
        )
        self.landing.note()
        if self.commit is not None:
            await self.commit({line: tally.last_offset + 1 for line, tally in outcome.tallies.items()})

    async def _land_or_redo(self, current: Assignment, unit: Unit, outcome: Outcome) -> Outcome:
        """Return what has landed: without the records that ClickHouse refuses."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._flushing, self._flusher.land, current, outcome)
                return outcome
            except DataRefused as error:
                outcome = await loop.run_in_executor(
                    self._processing, self._assignments.redo, current, unit, error
                )

    def close(self) -> None:
        """Stop the threads once what they do is done."""
        self._processing.shutdown(wait=True, cancel_futures=True)
        self._flushing.shutdown(wait=True, cancel_futures=True)
