"""The spooling producer on one event loop, over a producer in memory whose broker comes and goes.

broker   ───────╳ away ──────────────╳ back ─────────▶
records  Kafka    wait, then disk: at once   Kafka, and what is on disk drains
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from collector.errors import Unavailable, Undeliverable
from collector.producer import Keeper, Lost, MemoryProducer, SentRecord, fail
from collector.settings import CollectorSettings
from collector.spool.producer import SpoolingProducer
from collector.spool.spool import Limits, Spool
from schemas.metrics import SpoolMetrics
from tests.unit.collector.spool.support import NOW, ROOMY, FailingDisk, record

SECONDS = 30


class World:
    """A spooling producer, the broker behind it, and what its metrics say."""

    def __init__(
        self, directory: Path, kafka: MemoryProducer, disk: FailingDisk, max_bytes: int, wait_seconds: float
    ) -> None:
        self.kafka = kafka
        self.disk = disk
        self.registry = CollectorRegistry()
        metrics = SpoolMetrics.create(self.registry)
        self.spool = Spool(directory, Limits(max_bytes, 4096), metrics, disk)
        settings = CollectorSettings(bootstrap="", ack_wait_seconds=wait_seconds, queue_messages=1000)
        self.producer = SpoolingProducer(kafka, self.spool, settings, metrics, lambda: NOW + 60_000)

    def metric(self, name: str) -> float:
        value = self.registry.get_sample_value(f"funnel_collector_spool_{name}")
        assert value is not None
        return value

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not holds():
                await asyncio.sleep(0.01)

    async def send_all(self, records: Sequence[SentRecord]) -> None:
        async with asyncio.timeout(SECONDS):
            await asyncio.gather(*map(self.producer.send, records))


Scenario = Callable[[World], Awaitable[None]]
Play = Callable[..., None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Runs a scenario, then closes the producer."""

    def run(
        scenario: Scenario,
        kafka: MemoryProducer | None = None,
        disk: FailingDisk | None = None,
        max_bytes: int = ROOMY,
        wait_seconds: float = SECONDS,
    ) -> None:
        async def main() -> None:
            world = World(
                tmp_path / "spool", kafka or MemoryProducer(), disk or FailingDisk(), max_bytes, wait_seconds
            )
            await scenario(world)
            async with asyncio.timeout(SECONDS):
                await world.producer.close()

        asyncio.run(main())

    return run


def test_while_the_broker_is_there_the_disk_is_not_used(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.send_all([record(number) for number in range(100)])
        assert len(world.kafka.records) == 100
        assert world.metric("spooled_records_total") == world.metric("in_use") == 0

    play(scenario)


def test_what_is_acknowledged_during_an_outage_is_in_the_log_afterwards(play: Play) -> None:
    records = [record(number) for number in range(2000)]

    async def scenario(world: World) -> None:
        world.kafka.away = True
        await world.send_all(records[:500])
        assert await world.producer.ready() is Keeper.SPOOL
        assert (world.metric("in_use"), world.metric("records")) == (1, 500)
        assert world.metric("age_seconds") == 60
        await world.send_all(records[500:1000])
        await world.send_all(records[1000:])
        assert world.kafka.records == []
        world.kafka.away = False
        await world.until(lambda: world.metric("records") == 0)
        assert world.kafka.records == records, "in order, with their record times"
        await world.until(lambda: world.metric("in_use") == world.metric("bytes") == 0)
        assert world.metric("age_seconds") == 0
        assert await world.producer.ready() is Keeper.BROKER

    play(scenario)


class CountingProducer(MemoryProducer):
    """Says which records it was offered."""

    def __init__(self, **given: bool) -> None:
        super().__init__(**given)  # type: ignore[arg-type]
        self.offered: list[SentRecord] = []

    def send(self, record: SentRecord, lost: Lost = fail) -> asyncio.Future[None]:
        self.offered.append(record)
        return MemoryProducer.send(self, record, lost)


def test_only_the_first_ones_wait_for_a_broker_that_is_away(play: Play) -> None:
    kafka = CountingProducer(away=True)

    async def scenario(world: World) -> None:
        await world.send_all([record(1), record(2)])
        for number in range(3, 20):
            await world.producer.send(record(number))
        assert kafka.offered == [record(1), record(2)]

    play(scenario, kafka)


def test_new_records_do_not_wait_for_those_on_disk(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.kafka.away = True
        await world.send_all([record(number) for number in range(10)])
        world.kafka.away = False
        await world.until(lambda: world.metric("in_use") == 0)
        spooled = world.metric("spooled_records_total")
        await world.producer.send(record(10))
        assert world.metric("spooled_records_total") == spooled

    play(scenario)


def test_records_that_wait_together_share_a_sync(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.kafka.away = True
        await world.producer.send(record(0))
        before = world.disk.syncs
        await world.send_all([record(number) for number in range(1, 101)])
        # One for the first of them, one for all that came while it ran, one for the name of a new file.
        assert world.disk.syncs <= before + 3

    play(scenario)


def test_a_full_queue_of_kafka_s_is_no_reason_to_turn_events_away(play: Play) -> None:
    records = [record(number) for number in range(20)]

    async def scenario(world: World) -> None:
        await world.send_all(records)
        await world.until(lambda: world.metric("records") == 0)
        assert sorted(world.kafka.records) == sorted(records)

    play(scenario, MemoryProducer(capacity=5))


def test_a_full_spool_turns_events_away_until_it_is_drained(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.kafka.away = True
        outcomes = await asyncio.gather(
            *(world.producer.send(record(number, 1000)) for number in range(100)), return_exceptions=True
        )
        kept = outcomes.count(None)
        assert 0 < kept < 100
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes if outcome)
        assert await world.producer.ready() is Keeper.NOBODY
        world.kafka.away = False
        await world.until(lambda: world.metric("in_use") == 0 and world.metric("records") == 0)
        assert len(world.kafka.records) == kept
        await world.producer.send(record(100))

    play(scenario, max_bytes=20_000)


def test_a_disk_that_fails_turns_events_away_and_is_found_again(play: Play) -> None:
    disk = FailingDisk(room=0)

    async def scenario(world: World) -> None:
        world.kafka.away = True
        for number in range(3):
            with pytest.raises(Unavailable):
                await world.producer.send(record(number))
        assert world.metric("failing") == 1
        assert await world.producer.ready() is Keeper.NOBODY
        disk.room = ROOMY
        assert await world.producer.ready() is Keeper.SPOOL
        await world.producer.send(record(4))
        assert (world.metric("failing"), world.metric("records")) == (0, 1)

    play(scenario, disk=disk)


def test_with_nothing_on_disk_a_broker_that_is_ready_is_back(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.kafka.away = True
        with pytest.raises(Unavailable):
            await world.producer.send(record(1))
        assert world.metric("in_use") == 1
        world.kafka.away = False
        await world.until(lambda: world.metric("in_use") == 0)
        await world.producer.send(record(2))
        assert world.kafka.records == [record(2)]

    play(scenario, disk=FailingDisk(room=0))


class HangingDisk(FailingDisk):
    """Does not come back from a sync until ``go`` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def sync(self, descriptor: int) -> None:
        self.go.wait(SECONDS)
        super().sync(descriptor)


def test_nobody_waits_for_ever_for_a_disk_that_hangs(play: Play, caplog: pytest.LogCaptureFixture) -> None:
    disk = HangingDisk()

    async def scenario(world: World) -> None:
        world.kafka.away = True
        first = [world.producer.send(record(number)) for number in range(3)]
        for future in first:
            with pytest.raises(Unavailable, match="disk"):
                await future
        with pytest.raises(Unavailable, match="disk"):
            await world.producer.send(record(3))
        assert await world.producer.ready() is Keeper.NOBODY
        disk.go.set()
        await world.until(lambda: world.metric("records") > 0)
        await world.producer.send(record(4))

    with caplog.at_level(logging.ERROR):
        play(scenario, disk=disk, wait_seconds=1)
    assert "events are not kept: the disk does not answer" in caplog.text


class ChoosyProducer(MemoryProducer):
    """Refuses records under the key of ``record(3)``, and with one of them every batch that it is in."""

    def send(self, sent: SentRecord, lost: Lost = fail) -> asyncio.Future[None]:
        if self.away or sent.key != record(3).key:
            return MemoryProducer.send(self, sent, lost)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        lost(sent, future, Undeliverable("too large"))
        return future


def test_what_the_broker_refuses_does_not_hold_up_the_rest(play: Play, tmp_path: Path) -> None:
    records = [record(number) for number in range(10)]
    kafka = ChoosyProducer()

    async def scenario(world: World) -> None:
        with pytest.raises(Undeliverable):
            await world.producer.send(record(3))
        assert world.metric("spooled_records_total") == 0, "whoever sends it can be told"
        kafka.away = True
        await world.send_all(records)
        kafka.away = False
        await world.until(lambda: world.metric("records") == 0)
        assert kafka.records == records[:3] + records[4:]

    play(scenario, kafka)
    assert [path.suffix for path in (tmp_path / "spool").glob("0*")] == [".refused"]


class MoodyProducer(MemoryProducer):
    """Does not acknowledge every third record that it is offered, and takes it when it is offered again."""

    offers = 0

    def send(self, record: SentRecord, lost: Lost = fail) -> asyncio.Future[None]:
        self.offers += not self.away
        if self.away or self.offers % 3:
            return MemoryProducer.send(self, record, lost)
        raise Unavailable("not now")


def test_what_fails_while_it_drains_is_sent_again_and_nothing_else_is(play: Play) -> None:
    records = [record(number) for number in range(100)]

    async def scenario(world: World) -> None:
        world.kafka.away = True
        await world.send_all(records)
        world.kafka.away = False
        await world.until(lambda: world.metric("records") == 0)
        assert sorted(world.kafka.records) == records

    play(scenario, MoodyProducer())


def test_what_is_on_disk_at_the_end_is_drained_by_the_next_process(play: Play) -> None:
    records = [record(number) for number in range(10)]

    async def before(world: World) -> None:
        world.kafka.away = True
        await world.send_all(records)

    async def after(world: World) -> None:
        await world.until(lambda: world.metric("records") == 0)
        assert world.kafka.records == records

    play(before)
    play(after)


class LateProducer(MemoryProducer):
    """Acknowledges only after it has given a record up: it was delivered all the same."""

    def _fail(self, future: asyncio.Future[None], record: SentRecord, lost: Lost) -> None:
        MemoryProducer._fail(self, future, record, lost)
        if not future.done():
            lost(record, future, Unavailable("said twice"))
        self.records.append(record)


def test_a_record_that_timed_out_and_arrives_is_there_twice_at_most(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.kafka.away = True
        await world.producer.send(record(1))
        world.kafka.away = False
        await world.until(lambda: world.metric("records") == 0)
        assert world.kafka.records == [record(1), record(1)]

    play(scenario, LateProducer())


def test_who_gave_up_waiting_does_no_harm(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.kafka.away = True
        world.producer.send(record(1)).cancel()
        future = world.producer.send(record(2))
        await future
        world.producer.send(record(3)).cancel()
        await world.producer.send(record(4))
        world.kafka.away = False
        await world.until(lambda: world.metric("records") == 0)
        assert {record(2), record(4)} <= set(world.kafka.records)

    play(scenario)
