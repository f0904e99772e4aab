"""Rows that ClickHouse refuses: their records become rejects, the rest of the flush lands as the one block it was, and the numbers are the oracle's.

flush 1   ········✗·········✗····   refused ─▶ halves tried where nothing lands ─▶ state restored, both records rejects ─▶ one block
flush 2   ·······················   was processed beside it, after rows that never landed ─▶ processed once more
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import simulator.oracle.compute as oracle
from schemas.metrics import WorkerMetrics
from simulator.generate import generate
from simulator.items import prepared
from simulator.log import Log, Span
from simulator.mess import Mess
from simulator.oracle.reject import Reject, event_id_of
from simulator.verify import verify
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import Refused
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.rollup import derive
from streams.pipeline import Pipeline
from tests.integration.test_crashed import CLUSTER, LINES, NOW, PARTITIONS, SOURCES, World

BAD = "cursed"
SECONDS = 120


@pytest.fixture
def strict(emptied: Connection) -> Iterator[Connection]:
    """A journal with a constraint that is not ours."""
    emptied.execute(f"ALTER TABLE journal ADD CONSTRAINT blessed CHECK campaign != '{BAD}'")
    yield emptied
    emptied.execute("ALTER TABLE journal DROP CONSTRAINT blessed")


@pytest.fixture
def beside(emptied: Connection) -> Iterator[Connection]:
    """A worker's second connection."""
    with closing(connect(emptied.settings)) as connection:
        yield connection


@pytest.fixture(autouse=True)
def oracle_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the oracle reject what breaks the constraint."""
    original = oracle.read

    def read(topic: str, *arguments: Any) -> Any:
        found = original(topic, *arguments)
        if isinstance(found, Mapping) and found.get("campaign") == BAD:
            # What ClickHouse says is compared below: the oracle knows no server.
            return Reject("refused", "", event_id_of(topic, found))
        return found

    monkeypatch.setattr(oracle, "read", read)


def world_of(connection: Connection, beside: Connection, every: int, events: int = 240) -> World:
    """A world in whose log one event of ``every`` is bad, if it is a touch."""
    world = World(connection, beside, 1, 0)
    items = list(generate(5, events, NOW, Mess()))
    copies = Counter(item.record.get("event_id") for item in items)
    for place, item in enumerate(items):
        # Of two with one id the first to be taken decides whether the other one is looked at.
        plain = item.direct is None and not item.mess and copies[item.record.get("event_id")] == 1
        if place % every == 0 and plain and item.kind != "conversion":
            item = item._replace(record={**item.record, "campaign": BAD})
        world.kafka.append(*prepared(item, PARTITIONS))
    return world


def pipeline_of(world: World) -> Pipeline:
    settings = replace(world.assignments.settings, flush_rows=200, flush_ms=20)
    return Pipeline(settings, world.assignments, world.flusher, WorkerMetrics.create(CollectorRegistry()))


async def feed(world: World, pipeline: Pipeline) -> None:
    """Let ``pipeline`` take all there is, hops too. Raises what makes it stop."""
    working = asyncio.create_task(pipeline.run())
    try:
        async with asyncio.timeout(SECONDS):
            at = dict(await pipeline.positions({line: (0, len(world.kafka.records[line])) for line in LINES}))
            while not working.done():
                waiting = [line for line in LINES if at[line] < len(world.kafka.records[line])]
                for line in waiting:
                    batch = world.kafka.batch(line, at[line], 40)
                    at[line] += len(batch)
                    await asyncio.wait(
                        [asyncio.create_task(pipeline.put(batch)), working],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                if not waiting and pipeline.idle:
                    await pipeline._landed()
                    break
                await asyncio.sleep(0.01)
        if working.done():
            working.result()
        await pipeline.drain()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        pipeline.close()


def assert_exact(world: World, connection: Connection) -> None:
    one = world.take()
    for rollup in ROLLUPS:
        while derive(world.journal, rollup, list(SOURCES.values()), one.token).more:
            pass
    spans = {line: Span(0, len(records), records) for line, records in world.kafka.records.items()}
    report = verify(oracle.compute(Log(CLUSTER, PARTITIONS, spans)), connection.query, {})
    assert [check for check in report.checks if not check.ok] == []
    assert connection.query("SELECT count() FROM ledger_gaps") == [(0,)]
    assert connection.query("SELECT count() FROM ledger_overlaps") == [(0,)]
    assert connection.query("SELECT count() FROM system.tables WHERE name LIKE 'journal_trial%'") == [(0,)]


def refused(connection: Connection) -> int:
    return int(connection.query("SELECT count() FROM rejects WHERE reason = 'refused'")[0][0])


def test_bad_rows_become_rejects(strict: Connection, beside: Connection) -> None:
    world = world_of(strict, beside, every=40)
    asyncio.run(feed(world, pipeline_of(world)))
    assert refused(strict) > 1
    assert strict.query("SELECT DISTINCT detail FROM rejects WHERE reason = 'refused'") == [
        ("469: Constraint `blessed`",)
    ]
    assert_exact(world, strict)


def test_a_crash_after_the_search(
    strict: Connection, beside: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has landed by then; the next worker finds the same rows again."""
    world = world_of(strict, beside, every=40)

    def crash(*arguments: Any) -> Any:
        raise RuntimeError("gone")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="gone"):
        patch.setattr(type(world.assignments), "redo", crash)
        asyncio.run(feed(world, pipeline_of(world)))
    assert refused(strict) == 0
    asyncio.run(feed(world, pipeline_of(world)))
    assert refused(strict) > 1
    assert_exact(world, strict)


@pytest.mark.parametrize("check", ["kind != 'flush'", "kind != 'reject' AND campaign != 'cursed'"])
def test_what_no_record_is_to_blame_for_is_raised(
    emptied: Connection, beside: Connection, check: str
) -> None:
    """Flush rows are refused, too; or the rejects are: the worker stops, as with any other refusal."""
    world = world_of(emptied, beside, every=20, events=200)
    emptied.execute(f"ALTER TABLE journal ADD CONSTRAINT blessed CHECK {check}")
    try:
        with pytest.raises(Refused, match="blessed"):
            asyncio.run(feed(world, pipeline_of(world)))
    finally:
        emptied.execute("ALTER TABLE journal DROP CONSTRAINT blessed")
    assert emptied.query("SELECT count() FROM journal WHERE kind = 'reject' AND reason = 'refused'") == [(0,)]
