"""Every point at which a worker, its answers or its bytes can be lost, over models of log and journal: no final number changes.

log      ▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶
worker   ──hops─insert─✗   (crash, lost answer, bytes held back, partitions moved to another worker)
         next one: owner, kill, fences, restore ──▶

The worker's code is the real one: assignment, restore, cold lookups, processing, flushing. Servers are `tests.faults.models`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from prometheus_client import CollectorRegistry

from schemas.metrics import WorkerMetrics
from schemas.topics import TOPICS
from simulator.generate import generate
from simulator.items import Item, prepared
from simulator.log import Log, Span
from simulator.mess import Mess
from simulator.oracle.compute import Rules, compute
from streams.assignment import Assignment, Assignments
from streams.broker import Cluster
from streams.errors import OwnershipLost
from streams.flushing import Flusher
from streams.settings import WorkerSettings
from streams.steps.enrich import Lookups
from tests.faults.models import (
    CLUSTER,
    ConnectionModel,
    Crash,
    Fate,
    Fates,
    HistoryModel,
    HopModel,
    JournalModel,
    LogModel,
    Server,
)
from tests.integration.test_processor_against_oracle import assert_agrees

PARTITIONS = 2
NOW = 1_790_000_000_000
# Record times lie within five minutes: with windows of one, what is older is cold.
WINDOW_MS = 60_000
LIMIT = 3
SETTINGS = WorkerSettings(
    bootstrap="", dedup_window_ms=WINDOW_MS, hot_window_ms=WINDOW_MS, person_limit=LIMIT
)
LOOKUPS = Lookups.open("", "")
MESS = Mess(
    duplicates=0.15,
    conflicts=0.02,
    malformed=0.03,
    misrouted=0.03,
    late=0.3,
    orphans=0.05,
    devices=0.6,
    shared=0.2,
    foreign=0.2,
    networks=0.6,
    unfilled=0.3,
)


WHOLE = Cluster(CLUSTER, dict.fromkeys(TOPICS, PARTITIONS), dict.fromkeys(TOPICS, ""))


@pytest.fixture(scope="module", autouse=True)
def no_waiting() -> Iterator[None]:
    """What is tried again is tried at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tenacity.nap.time", SimpleNamespace(sleep=lambda seconds: None))
        yield


class Worker:
    """A worker over the models: its own connection to each server, whose fates can be set."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.fates = Fates()
        self.metrics = WorkerMetrics.create(CollectorRegistry())
        connection: Any = ConnectionModel(world.server, self.fates)
        self.journal = JournalModel(connection, "group")
        history = HistoryModel(world.server)
        self.assignments: Any = Assignments(
            SETTINGS, self.journal, history, [history], LOOKUPS, lambda: WHOLE, self.metrics
        )
        hops: Any = HopModel(world.log, self.fates)
        self.flusher = Flusher(self.journal, hops, self.metrics, lambda: NOW)
        self.current: Assignment | None = None

    def assign(self, numbers: Sequence[int], fates: Sequence[Fate] = ()) -> None:
        """Become the owner of ``numbers`` (of all topics)."""
        self.fates.waiting[:] = fates
        if self.current is not None:
            self.current.abandon()
        bounds = {
            line: (0, len(records)) for line, records in self.world.log.lines.items() if line[1] in numbers
        }
        self.current = self.assignments.take(bounds)
        self.fates.waiting.clear()

    def step(self, most: int, fates: Sequence[Fate] = ()) -> bool:
        """Take up to ``most`` records of each line, process and flush them; return whether there was anything."""
        assert self.current is not None
        self.fates.waiting[:] = fates
        log, lines = self.world.log, self.current.lines
        waiting = [line for line, start in lines.next_offset.items() if start < len(log.lines[line])]
        unit = lines.unit(
            [log.batch(line, lines.next_offset[line], most) for line in sorted(waiting, key=_order)]
        )
        if unit is None:
            return False
        self.flusher.land(self.current, self.current.processor.process(unit))
        self.fates.waiting.clear()
        return True


def _order(line: tuple[str, int]) -> tuple[int, int]:
    return TOPICS.index(line[0]), line[1]


class World:
    """Servers, and a log with all that is to come of it."""

    def __init__(self) -> None:
        self.log = LogModel(PARTITIONS)
        self.server = Server()

    def finish(self) -> None:
        """Let a healthy worker do the rest, whatever else is still on its way arrives, and compare with the oracle."""
        worker = Worker(self)
        worker.assign(range(PARTITIONS))
        while self.server.under_way:
            self.server.arrive()
        while worker.step(1000):
            pass
        spans = {line: Span(0, len(records), records) for line, records in self.log.lines.items()}
        rules = Rules(dedup_window_ms=WINDOW_MS, person_limit=LIMIT)
        assert_agrees(self.server, compute(Log(CLUSTER, PARTITIONS, spans), rules))
        self.assert_continuous()

    def assert_continuous(self) -> None:
        """Flush rows of a source follow each other without gap or overlap."""
        rows = self.server.rows("flush")
        if not rows.is_empty():
            for _, flushes in rows.sort("_offset").group_by("_source"):
                at = 0
                for first, last in flushes.select("first_offset", "_offset").sort("_offset").iter_rows():
                    assert first == at, flushes
                    at = last + 1


def items(seed: int, count: int) -> list[Item]:
    """Traffic with few impressions, so that a short run has leads and conversions."""
    made = enumerate(generate(seed, 5 * count, NOW, MESS, run="r"))
    return [item for place, item in made if item.kind != "impression" or place % 8 == 0][:count]


def live(world: World, fates: Sequence[Fate], late: bool) -> int:
    """Run workers one after another under the given fates until all is done; return how many requests were made.

    ``late``: what was held back arrives as soon as a next worker owns the partitions; otherwise before it does.
    """
    asked, waiting = 0, list(fates)
    for _ in range(len(fates) + 1):
        worker = Worker(world)
        try:
            worker.assign(range(PARTITIONS), waiting)
            waiting = waiting[worker.fates.asked :]
            while world.server.under_way and late:
                world.server.arrive()
            asked += worker.fates.asked
            worker.fates.asked = 0
            while worker.step(6, waiting):
                waiting = waiting[worker.fates.asked :]
                asked += worker.fates.asked
                worker.fates.asked = 0
            return asked
        except Crash:
            asked += worker.fates.asked
            waiting = waiting[worker.fates.asked :]
            while world.server.under_way and not late:
                world.server.arrive()
    raise AssertionError("more crashes than fates")


SMALL = items(11, 16)


def points() -> int:
    """How many requests a run without faults makes."""
    world = World()
    world.log.send(SMALL)
    return live(world, [], False)


LATE = (Fate.HELD, Fate.STARTED)


@pytest.mark.parametrize("fate", [fate for fate in Fate if fate is not Fate.GO], ids=lambda fate: fate.name)
def test_every_point(fate: Fate) -> None:
    """One fault at each request of a small run, from which the same worker goes on if it is still there."""
    for place in range(points()):
        world = World()
        world.log.send(SMALL)
        live(world, [*[Fate.GO] * place, fate], False)
        world.finish()


@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
@pytest.mark.parametrize("fate", LATE, ids=lambda fate: fate.name)
def test_every_point_that_outlives_its_worker(fate: Fate, late: bool) -> None:
    """What was on its way arrives before or after the next worker has read the fences."""
    for place in range(points()):
        world = World()
        world.log.send(SMALL)
        live(world, [*[Fate.GO] * place, fate, Fate.CRASH_BEFORE], late)
        world.finish()


def test_a_former_owner_that_flushes_while_the_next_one_takes_over() -> None:
    """Who does not know that the partitions have moved flushes once more, at each request of the takeover: what counts is read after that.

    former     ──flush──────────flush──✗
    following         owner │ kill │ fences │ restore ──▶
    """
    place = asked = 0
    while place <= asked:
        world = World()
        world.log.send(SMALL)
        former, following = Worker(world), Worker(world)
        former.assign(range(PARTITIONS))
        former.step(6)
        following.fates.before = partial(_flush_at, place, former)
        following.assign(range(PARTITIONS))
        asked = following.fates.asked
        while following.step(5):
            pass
        world.finish()
        place += 1
    assert asked > 1


def _flush_at(place: int, worker: Worker, asked: int) -> None:
    if asked == place:
        with suppress(OwnershipLost):
            worker.step(6)


@pytest.mark.parametrize("topic", ["clicks", "impressions"])
def test_a_source_that_is_behind_keeps_its_window(topic: str) -> None:
    """What a worker restores of a source goes by that source's newest record, not by that of another one that has been read further.

    topic / 0     ──▶ event                    ✗   the same once more, half a minute after it ──▶  a duplicate
    all the rest  ──▶ ──▶ ──▶ six hours later ─✗
    """
    world = World()
    in_place = generate(11, 200, NOW, replace(MESS, misrouted=0), run="r")
    records = [prepared(item, PARTITIONS) for item in in_place]
    again = [record for record in records if record[:2] == (topic, 0)][:5]
    for record in records:
        if record[:2] != (topic, 0):
            world.log.append(*record[:4], NOW + 6 * 3_600_000)
    for record in again:
        world.log.append(*record[:4], NOW)
    live(world, [], False)
    for record in again:
        world.log.append(*record[:4], NOW + WINDOW_MS // 2)
    live(world, [], False)
    world.finish()


class Group(RuleBasedStateMachine):
    """Up to three workers that share two partitions; they do not always know that they have lost theirs."""

    @initialize(seed=st.integers(0, 10_000))
    def begin(self, seed: int) -> None:
        self.world = World()
        self.coming = items(seed, 120)
        self.workers: dict[int, Worker] = {}

    @precondition(lambda self: self.coming)
    @rule(count=st.integers(5, 40))
    def send(self, count: int) -> None:
        self.world.log.send(self.coming[:count])
        del self.coming[:count]

    @rule(
        number=st.integers(0, 2),
        owned=st.sampled_from([(0,), (1,), (0, 1)]),
        fates=st.lists(st.sampled_from(Fate), max_size=4),
    )
    def assign(self, number: int, owned: tuple[int, ...], fates: list[Fate]) -> None:
        worker = self.workers.setdefault(number, Worker(self.world))
        self._guard(number, lambda: worker.assign(owned, fates))

    @precondition(lambda self: self.workers)
    @rule(data=st.data(), most=st.integers(1, 20), fates=st.lists(st.sampled_from(Fate), max_size=4))
    def step(self, data: st.DataObject, most: int, fates: list[Fate]) -> None:
        number = data.draw(st.sampled_from(sorted(self.workers)))
        self._guard(number, lambda: self.workers[number].step(most, fates))

    @precondition(lambda self: self.world.server.under_way)
    @rule(data=st.data())
    def arrive(self, data: st.DataObject) -> None:
        count = len(self.world.server.under_way)
        self.world.server.arrive(data.draw(st.integers(0, count - 1)))

    def _guard(self, number: int, work: Any) -> None:
        try:
            work()
        except (Crash, OwnershipLost):
            del self.workers[number]

    @invariant()
    def nothing_overlaps(self) -> None:
        self.world.assert_continuous()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.finish()


Group.TestCase.settings = settings(
    max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
TestGroup = Group.TestCase
