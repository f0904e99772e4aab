"""What the collector may rely on in a producer: the same suite over the one in memory, the one over Kafka, and both with a spool.

A spool changes what becomes of a record that the broker does not acknowledge. Without one, or with one that has no room, it fails within
the wait; with one it is kept, and in the log once the broker is back.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from prometheus_client import CollectorRegistry

from collector.errors import Unavailable
from collector.kafka import KafkaProducer
from collector.producer import Keeper, LossyProducer, MemoryProducer, Producer, SentRecord
from collector.settings import CollectorSettings
from collector.spool.producer import SpoolingProducer
from collector.spool.spool import Limits, Spool
from deploy.embedded.broker import Broker
from deploy.embedded.ports import free_port
from schemas.metrics import SpoolMetrics
from schemas.partitioning import partition_for
from tests.integration.log import PARTITIONS, create_topics, read_log

NOW = 1_767_225_600_000
TOPIC = "impressions"
ACK_WAIT_SECONDS = 2.0
Scenario = Callable[[Producer], Coroutine[None, None, None]]


class Subject(Protocol):
    """An implementation, and the world it sends to."""

    def run(self, scenario: Scenario, capacity: int = 1000) -> None: ...

    def go_away(self) -> None: ...

    def come_back(self) -> None: ...

    def log(self) -> list[SentRecord]: ...


@dataclass(frozen=True)
class Behind:
    """The spool behind a producer: in ``directory`` (None: there is none), with so much room."""

    directory: Path | None
    max_bytes: int = 1 << 24

    def put(self, producer: LossyProducer, settings: CollectorSettings) -> Producer:
        if self.directory is None:
            return producer
        metrics = SpoolMetrics.create(CollectorRegistry())
        spool = Spool(self.directory, Limits(self.max_bytes), metrics)
        return SpoolingProducer(producer, spool, settings, metrics, lambda: NOW)


class InMemory:
    """MemoryProducer."""

    def __init__(self, behind: Behind) -> None:
        self._behind = behind
        self._broker = MemoryProducer()

    def run(self, scenario: Scenario, capacity: int = 1000) -> None:
        async def in_memory() -> None:
            self._broker.capacity = capacity
            settings = CollectorSettings(bootstrap="", ack_wait_seconds=ACK_WAIT_SECONDS)
            await scenario(self._behind.put(self._broker, settings))

        asyncio.run(in_memory())

    def go_away(self) -> None:
        self._broker.away = True

    def come_back(self) -> None:
        self._broker.away = False

    def log(self) -> list[SentRecord]:
        return self._broker.records


class OverKafka:
    """KafkaProducer and an embedded broker."""

    def __init__(self, behind: Behind, broker: Broker) -> None:
        self._behind = behind
        self._broker = broker

    def run(self, scenario: Scenario, capacity: int = 1000) -> None:
        async def over_kafka() -> None:
            settings = CollectorSettings(
                bootstrap=self._broker.bootstrap, ack_wait_seconds=ACK_WAIT_SECONDS, queue_messages=capacity
            )
            await scenario(self._behind.put(KafkaProducer(settings, [TOPIC]), settings))

        asyncio.run(over_kafka())

    def go_away(self) -> None:
        self._broker.kill()

    def come_back(self) -> None:
        self._broker.start()
        create_topics(self._broker.bootstrap)

    def log(self) -> list[SentRecord]:
        messages = read_log(self._broker.bootstrap)
        for message in messages:
            assert message.partition == partition_for(message.record.key, PARTITIONS)
        return [message.record for message in messages]


@pytest.fixture(params=["in memory", "over Kafka"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[Behind], Subject]]:
    if request.param == "in memory":
        yield InMemory
        return
    broker = Broker(tmp_path, port=free_port())
    broker.start()
    try:
        create_topics(broker.bootstrap)
        yield lambda behind: OverKafka(behind, broker)
    finally:
        broker.kill()


Make = Callable[[Behind], Subject]


@pytest.fixture
def plain(world: Make) -> Subject:
    return world(Behind(None))


@pytest.fixture
def spooling(world: Make, tmp_path: Path) -> Subject:
    return world(Behind(tmp_path / "spool"))


@pytest.fixture(params=["plain", "spooling"])
def subject(request: pytest.FixtureRequest, world: Make, tmp_path: Path) -> Subject:
    return world(Behind(tmp_path / "spool" if request.param == "spooling" else None))


@pytest.fixture(params=["plain", "no room"])
def losing(request: pytest.FixtureRequest, world: Make, tmp_path: Path) -> Subject:
    return world(Behind(tmp_path / "spool", max_bytes=10) if request.param == "no room" else Behind(None))


def record(number: int) -> SentRecord:
    return SentRecord(TOPIC, f"k{number:03}".encode(), f"value {number}".encode(), NOW + number)


async def until_ready(producer: Producer) -> None:
    async with asyncio.timeout(30):
        while not await producer.ready():
            await asyncio.sleep(0.05)


async def until_in_log(subject: Subject, count: int) -> None:
    """Return once ``count`` different records are in the log."""
    async with asyncio.timeout(30):
        while len(set(await asyncio.to_thread(subject.log))) < count:
            await asyncio.sleep(0.05)


def test_what_is_acknowledged_is_in_the_log_as_it_was_sent(subject: Subject) -> None:
    records = [record(number) for number in range(100)]

    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        await asyncio.gather(*(producer.send(sent) for sent in records))
        await producer.close()

    subject.run(scenario)
    assert sorted(subject.log()) == sorted(records)


def test_close_waits_for_what_is_under_way(subject: Subject) -> None:
    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        futures = [producer.send(record(number)) for number in range(10)]
        await producer.close()
        assert all(future.done() and future.exception() is None for future in futures)

    subject.run(scenario)
    assert len(subject.log()) == 10


def test_a_full_queue_is_said_at_once(plain: Subject) -> None:
    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        futures = [producer.send(record(number)) for number in range(5)]
        with pytest.raises(Unavailable):
            producer.send(record(5))
        await asyncio.gather(*futures)
        await producer.send(record(6))
        await producer.close()

    plain.run(scenario, capacity=5)
    assert len(plain.log()) == 6


def test_a_requester_who_gave_up_does_no_harm(subject: Subject) -> None:
    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        producer.send(record(1)).cancel()
        await producer.send(record(2))
        await producer.close()

    subject.run(scenario)
    assert record(2) in subject.log()


def test_without_a_broker_records_fail_within_the_wait(losing: Subject) -> None:
    losing.go_away()

    async def scenario(producer: Producer) -> None:
        assert not await producer.ready()
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await producer.send(record(1))
            await producer.close()

    losing.run(scenario)


def test_a_broker_that_goes_away_fails_what_is_sent_then(losing: Subject) -> None:
    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        await producer.send(record(1))
        losing.go_away()
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await producer.send(record(2))
            assert not await producer.ready()
            await producer.close()

    losing.run(scenario)


def test_with_a_spool_a_full_queue_is_no_failure(spooling: Subject) -> None:
    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        # The disk has a queue as long as Kafka's.
        await asyncio.gather(*(producer.send(record(number)) for number in range(9)))
        await until_in_log(spooling, 9)
        await producer.close()

    spooling.run(scenario, capacity=5)


def test_with_a_spool_records_are_kept_without_a_broker_and_in_the_log_later(spooling: Subject) -> None:
    records = [record(number) for number in range(100)]
    spooling.go_away()

    async def without_broker(producer: Producer) -> None:
        assert await producer.ready() is Keeper.SPOOL
        async with asyncio.timeout(30):
            await asyncio.gather(*(producer.send(sent) for sent in records[:50]))
            await producer.close()

    async def with_broker(producer: Producer) -> None:
        await asyncio.gather(*(producer.send(sent) for sent in records[50:]))
        await asyncio.to_thread(spooling.come_back)
        await until_in_log(spooling, 100)
        await producer.close()

    spooling.run(without_broker)
    spooling.run(with_broker)
    assert sorted(spooling.log()) == sorted(records)
