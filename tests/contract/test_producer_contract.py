"""What the collector may rely on in a producer: the same suite over the one in memory and the one over Kafka."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from collector.errors import Unavailable
from collector.kafka import KafkaProducer
from collector.producer import MemoryProducer, Producer, SentRecord
from collector.settings import CollectorSettings
from deploy.embedded.broker import Broker
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

    def log(self) -> list[SentRecord]: ...


class InMemory:
    """MemoryProducer."""

    def __init__(self) -> None:
        self._is_away = False
        self._records: list[SentRecord] = []

    def run(self, scenario: Scenario, capacity: int = 1000) -> None:
        producer = MemoryProducer(self._records, self._is_away, capacity)
        asyncio.run(scenario(producer))

    def go_away(self) -> None:
        self._is_away = True

    def log(self) -> list[SentRecord]:
        return self._records


class OverKafka:
    """KafkaProducer and an embedded broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def run(self, scenario: Scenario, capacity: int = 1000) -> None:
        async def over_kafka() -> None:
            settings = CollectorSettings(
                bootstrap=self._broker.bootstrap, ack_wait_seconds=ACK_WAIT_SECONDS, queue_messages=capacity
            )
            await scenario(KafkaProducer(settings, [TOPIC]))

        asyncio.run(over_kafka())

    def go_away(self) -> None:
        self._broker.kill()

    def log(self) -> list[SentRecord]:
        messages = read_log(self._broker.bootstrap)
        for message in messages:
            assert message.partition == partition_for(message.record.key, PARTITIONS)
        return [message.record for message in messages]


@pytest.fixture(params=["in memory", "over Kafka"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "in memory":
        yield InMemory()
        return
    broker = Broker(tmp_path)
    broker.start()
    try:
        create_topics(broker.bootstrap)
        yield OverKafka(broker)
    finally:
        broker.kill()


def record(number: int) -> SentRecord:
    return SentRecord(TOPIC, f"k{number:03}".encode(), f"value {number}".encode(), NOW + number)


async def until_ready(producer: Producer) -> None:
    async with asyncio.timeout(30):
        while not await producer.ready():
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


def test_a_full_queue_is_said_at_once(subject: Subject) -> None:
    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        futures = [producer.send(record(number)) for number in range(5)]
        with pytest.raises(Unavailable):
            producer.send(record(5))
        await asyncio.gather(*futures)
        await producer.send(record(6))
        await producer.close()

    subject.run(scenario, capacity=5)
    assert len(subject.log()) == 6


def test_a_requester_who_gave_up_does_no_harm(subject: Subject) -> None:
    async def scenario(producer: Producer) -> None:
        await until_ready(producer)
        producer.send(record(1)).cancel()
        await producer.send(record(2))
        await producer.close()

    subject.run(scenario)
    assert record(2) in subject.log()


def test_without_a_broker_records_fail_within_the_wait(subject: Subject) -> None:
    subject.go_away()

    async def scenario(producer: Producer) -> None:
        assert not await producer.ready()
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await producer.send(record(1))
            await producer.close()

    subject.run(scenario)


def test_a_broker_that_goes_away_fails_what_is_sent_then(subject: Subject) -> None:
    if isinstance(subject, InMemory):
        away_later = MemoryProducer()

        async def in_memory() -> None:
            await away_later.send(record(1))
            away_later.away = True
            with pytest.raises(Unavailable):
                await away_later.send(record(2))

        asyncio.run(in_memory())
        return

    async def over_kafka(producer: Producer) -> None:
        await until_ready(producer)
        await producer.send(record(1))
        subject.go_away()
        async with asyncio.timeout(30):
            with pytest.raises(Unavailable):
                await producer.send(record(2))
            assert not await producer.ready()
            await producer.close()

    subject.run(over_kafka)
