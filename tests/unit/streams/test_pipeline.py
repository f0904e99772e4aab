"""What becomes of a flush that fails, and of one that does not end, whatever is read meanwhile."""

import asyncio
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import WorkerMetrics
from streams.assignment import Assignment
from streams.errors import OwnershipLost
from streams.pipeline import Pipeline
from streams.settings import WorkerSettings
from streams.steps.batch import RawBatch
from streams.unit import Line, Lines, Outcome, Unit

LINE: Line = ("clicks", 0)
BOUNDS = {LINE: (0, 100)}
SETTINGS = WorkerSettings("nowhere", flush_ms=1, stop_seconds=0.05)


class ProcessorStub:
    """Makes an outcome of a unit, with nothing in it."""

    states: Mapping[int, Any] = {}

    def process(self, unit: Unit) -> Outcome:
        return Outcome([], [], unit.tallies, pl.Series([0]))


class AssignmentsStub:
    """Gives whatever is asked for."""

    def take(self, bounds: Mapping[Line, tuple[int, int]]) -> Assignment:
        lines = Lines({line: first for line, (first, _) in bounds.items()})
        return Assignment(1, {line: str(line) for line in bounds}, lines, ProcessorStub())  # type: ignore[arg-type]


@dataclass
class FlusherStub:
    """Lands nothing before it is ``released``, and then raises ``error`` if there is one."""

    error: Exception | None = None
    released: threading.Event = field(default_factory=threading.Event)
    landed: list[int] = field(default_factory=list)

    def land(self, assignment: Assignment, outcome: Outcome) -> None:
        self.released.wait(60)
        if self.error is not None:
            raise self.error
        self.landed.append(outcome.tallies[LINE].last_offset)


def batch(offset: int) -> RawBatch:
    one = np.array([offset], dtype=np.int64)
    return RawBatch("clicks", np.zeros(1, dtype=np.int32), one, one, [b"value"], [None])


def pipeline(flusher: FlusherStub) -> Pipeline:
    metrics = WorkerMetrics.create(CollectorRegistry())
    return Pipeline(SETTINGS, AssignmentsStub(), flusher, metrics)  # type: ignore[arg-type]


async def running(one: Pipeline) -> asyncio.Task[None]:
    """Take the only line over, run, and take in the record at offset 0."""
    await one.positions(BOUNDS)
    task = asyncio.create_task(one.run())
    await one.put(batch(0))
    return task


async def flush_under_way(one: Pipeline) -> None:
    while one._flush is None:
        await asyncio.sleep(0.001)


async def ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_a_flush_that_fails_is_heard_of_on_a_quiet_log() -> None:
    """No batch comes after it, and so nobody waits for it but who asks whether anything fails."""

    async def scenario() -> None:
        flusher = FlusherStub(ValueError("a fault of our own"))
        one = pipeline(flusher)
        task = await running(one)
        flusher.released.set()
        async with asyncio.timeout(30):
            with pytest.raises(ValueError, match="a fault of our own"):
                await one.failing()
        await ended(task)
        one.close()

    asyncio.run(scenario())


def test_a_flush_that_does_not_end_is_abandoned_in_time() -> None:
    async def scenario() -> None:
        flusher = FlusherStub(OwnershipLost("abandoned"))
        one = pipeline(flusher)
        task = await running(one)
        await flush_under_way(one)
        owned = one.assignment
        async with asyncio.timeout(30):
            await one.drain()
        assert owned is not None
        assert owned.abandoned.is_set()
        # What it raises then is nobody's failure: the partitions are another worker's.
        flusher.released.set()
        flush = one._flush
        assert flush is not None
        await flush
        assert not one._failed.is_set()
        await ended(task)
        one.close()

    asyncio.run(scenario())


def test_what_lands_in_time_is_committed_and_counts_as_landed() -> None:
    async def scenario() -> None:
        flusher, committed = FlusherStub(), list[Mapping[Line, int]]()

        async def commit(offsets: Mapping[Line, int]) -> None:
            committed.append(offsets)

        one = pipeline(flusher)
        one.commit = commit
        task = await running(one)
        await flush_under_way(one)
        assert (flusher.landed, one.landed[LINE], one.idle) == ([], (0, 0), False)
        flusher.released.set()
        while not one.idle:
            await asyncio.sleep(0.001)
        assert (flusher.landed, one.landed[LINE], committed) == ([0], (1, 0), [{LINE: 1}])
        await ended(task)
        one.close()

    asyncio.run(scenario())


def test_what_was_lost_while_it_is_still_ours_is_a_failure() -> None:
    """A newer owner's token stands in the table although nobody has told this worker: it has to end."""

    async def scenario() -> None:
        flusher = FlusherStub(OwnershipLost("another owner"))
        flusher.released.set()
        one = pipeline(flusher)
        task = await running(one)
        async with asyncio.timeout(30):
            with pytest.raises(OwnershipLost):
                await one.failing()
        await ended(task)
        one.close()

    asyncio.run(scenario())


def test_at_most_one_flush_waits_while_another_one_lands() -> None:
    """The third is not processed: more intake waits, nothing piles up."""

    async def scenario() -> None:
        flusher, processed = FlusherStub(), list[int]()
        one = pipeline(flusher)
        task = await running(one)
        owned = one.assignment
        assert owned is not None
        process = owned.processor.process

        def noted(unit: Unit) -> Outcome:
            processed.append(unit.tallies[LINE].last_offset)
            return process(unit)

        owned.processor = SimpleNamespace(states={}, process=noted)  # type: ignore[assignment]
        await flush_under_way(one)
        for offset in (1, 2):
            await one.put(batch(offset))
            await asyncio.sleep(0.05)
        assert (processed[-1:], flusher.landed) == ([1], [])
        flusher.released.set()
        while flusher.landed != [0, 1, 2]:
            await asyncio.sleep(0.001)
        await ended(task)
        one.close()

    asyncio.run(scenario())
