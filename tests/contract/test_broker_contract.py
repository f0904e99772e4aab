"""What the pipeline relies on in a broker: the same suite over the embedded one and Apache Kafka.

What the embedded one does differently: it may call an offset before the last batch the latest (so ends are found by reading), it waits
at an offset behind the end instead of refusing it, and it forgets at exit, so that a fence behind the end belongs to another cluster.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from itertools import chain

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.embedded.broker import LocalBroker
from schemas.partitioning import partition_for
from schemas.topics import TOPICS
from streams.broker import TopicIds, describe_cluster
from tests.support import MakeBroker, started

PARTITIONS = 4
SECONDS = 30.0
TOPIC = "clicks"
# Of now: what is older than a topic's retention may be gone before it was read.
TIME = int(time.time() * 1000)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, make_broker: MakeBroker) -> Iterator[LocalBroker]:
    with started(make_broker(tmp_path_factory.mktemp("broker"))) as broker:
        yield broker


@pytest.fixture
def topics(broker: LocalBroker) -> Iterator[str]:
    """New topics for a test; returns the bootstrap address."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    make_topics(admin)
    yield broker.bootstrap
    delete_topics(admin)


def make_topics(admin: AdminClient) -> None:
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in TOPICS]).values():
        made.result(SECONDS)
    await_topics(admin, lambda found: found >= set(TOPICS))


def delete_topics(admin: AdminClient) -> None:
    for deleted in admin.delete_topics(list(TOPICS), operation_timeout=SECONDS).values():
        deleted.result(SECONDS)
    await_topics(admin, lambda found: not found & set(TOPICS))


def await_topics(admin: AdminClient, true: Callable[[set[str]], bool]) -> None:
    """A broker learns of topics a little later than the controller that made or deleted them."""
    deadline = time.monotonic() + SECONDS
    while not true(set(admin.list_topics(timeout=SECONDS).topics)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def send(bootstrap: str, records: list[tuple[int, str, str]], **options: object) -> list[Message]:
    """Send (partition, key, value) one by one and return what was acknowledged, in that order."""
    acknowledged: list[Message] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        acknowledged.append(message)

    producer = Producer(
        {"bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, **options}
    )
    for number, (partition, key, value) in enumerate(records):
        producer.produce(
            TOPIC, value, key, partition, delivered, timestamp=TIME + number, headers=[("h", b"\x00v")]
        )
    assert producer.flush(SECONDS) == 0
    return acknowledged


def consumer(bootstrap: str, **options: object) -> Consumer:
    return Consumer({"bootstrap.servers": bootstrap, "group.id": "funnel-contract", **options})


def take(reader: Consumer, count: int) -> list[Message]:
    taken: list[Message] = []
    deadline = time.monotonic() + SECONDS
    while len(taken) < count:
        assert time.monotonic() < deadline, f"only {len(taken)} of {count} came"
        taken += reader.consume(count - len(taken), 0.5)
    return taken


def test_a_record_comes_back_as_it_was_sent(topics: str) -> None:
    sent = send(topics, [(1, "key", f"value {number}") for number in range(50)])
    assert [message.offset() for message in sent] == list(range(50))
    reader = consumer(topics)
    reader.assign([TopicPartition(TOPIC, 1, 20)])
    read = take(reader, 30)
    reader.close()
    assert [message.offset() for message in read] == list(range(20, 50))
    assert [message.timestamp()[1] for message in read] == [TIME + number for number in range(20, 50)]
    assert {message.key() for message in read} == {b"key"}
    assert read[0].value() == b"value 20"
    assert read[0].headers() == [("h", b"\x00v")]


@pytest.mark.parametrize("codec", ["none", "lz4", "zstd"])
def test_a_compressed_batch_comes_back(topics: str, codec: str) -> None:
    send(topics, [(0, "key", "again and " * 100)] * 100, **{"compression.codec": codec, "linger.ms": 50})
    reader = consumer(topics)
    reader.assign([TopicPartition(TOPIC, 0, 0)])
    assert {message.value() for message in take(reader, 100)} == {b"again and " * 100}
    reader.close()


def test_murmur2_of_a_client_is_ours(topics: str) -> None:
    keys = [f"{number:04x}" for number in range(200)]
    producer = Producer({"bootstrap.servers": topics, "partitioner": "murmur2"})
    for key in keys:
        producer.produce(TOPIC, key, key)
    assert producer.flush(SECONDS) == 0
    reader = consumer(topics)
    reader.assign([TopicPartition(TOPIC, number, 0) for number in range(PARTITIONS)])
    found = {message.key().decode(): message.partition() for message in take(reader, len(keys))}
    reader.close()
    assert found == {key: partition_for(key.encode(), PARTITIONS) for key in keys}


@pytest.mark.parametrize("make_broker", [pytest.param("apache", marks=pytest.mark.apache)], indirect=True)
@pytest.mark.parametrize("offset", [11, 10_000])
def test_an_offset_behind_the_end_is_out_of_range(topics: str, offset: int) -> None:
    send(topics, [(2, "key", "value")] * 10)
    reader = consumer(topics, **{"auto.offset.reset": "error", "enable.partition.eof": True})
    reader.assign([TopicPartition(TOPIC, 2, offset)])
    message = reader.poll(SECONDS)
    reader.close()
    assert message is not None
    assert message.error().code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET)


def test_the_next_offset_is_the_end_and_no_error(topics: str) -> None:
    send(topics, [(2, "key", "value")] * 10)
    reader = consumer(topics, **{"auto.offset.reset": "error", "enable.partition.eof": True})
    reader.assign([TopicPartition(TOPIC, 2, 10)])
    message = reader.poll(SECONDS)
    reader.close()
    assert message is not None
    assert (message.error().code(), message.offset()) == (KafkaError._PARTITION_EOF, 10)


def test_offsets_are_listed_by_place(topics: str) -> None:
    send(topics, [(3, "key", "value")] * 10)
    reader = consumer(topics)
    low, high = reader.get_watermark_offsets(TopicPartition(TOPIC, 3), timeout=SECONDS)
    empty = reader.get_watermark_offsets(TopicPartition(TOPIC, 0), timeout=SECONDS)
    reader.close()
    # Never too high: that is what a watchdog relies on.
    assert (low, empty) == (0, (0, 0))
    assert 0 <= high <= 10


def test_a_group_gives_every_partition_to_one_member_and_keeps_what_it_commits(topics: str) -> None:
    group = f"funnel-{uuid.uuid4()}"
    options = {"group.id": group, "enable.auto.commit": False, "session.timeout.ms": 6000}
    first, second = consumer(topics, **options), consumer(topics, **options)
    for member in (first, second):
        member.subscribe([TOPIC])
    await_owned(lambda: owned_by(first), lambda: owned_by(second))
    first.commit(offsets=[TopicPartition(TOPIC, 1, 7)], asynchronous=False)
    first.close()
    await_owned(lambda: owned_by(second))
    [committed] = second.committed([TopicPartition(TOPIC, 1)], timeout=SECONDS)
    second.close()
    assert committed.offset == 7


def owned_by(member: Consumer) -> list[int]:
    """The partitions of a member, which has to be polled to learn of them."""
    member.poll(0.1)
    return [one.partition for one in member.assignment()]


def await_owned(*members: Callable[[], list[int]]) -> None:
    """Wait until every partition has one owner, and every member something."""
    deadline = time.monotonic() + SECONDS
    owned: list[list[int]] = []
    while sorted(chain.from_iterable(owned)) != list(range(PARTITIONS)) or not all(owned):
        assert time.monotonic() < deadline, f"owned: {owned}"
        owned = [member() for member in members]


def test_a_stale_generation_may_not_commit(topics: str) -> None:
    options = {
        "group.id": f"funnel-{uuid.uuid4()}",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
    }
    first = consumer(topics, **options)
    first.subscribe([TOPIC])
    await_owned(lambda: owned_by(first))
    former = first.assignment()
    first.unsubscribe()
    with pytest.raises(KafkaException):
        first.commit(offsets=former, asynchronous=False)
    first.close()


def test_cluster_and_topics_have_ids_and_a_recreated_topic_a_new_one(topics: str) -> None:
    before, again = (describe_cluster(topics, TOPICS) for _ in range(2))
    assert before == again
    assert before.id
    assert before.partitions == dict.fromkeys(TOPICS, PARTITIONS)
    assert len(set(before.topic_ids.values())) == len(TOPICS)
    ids = TopicIds(topics, TOPICS)
    assert ids() == before.topic_ids
    admin = AdminClient({"bootstrap.servers": topics})
    delete_topics(admin)
    assert ids() == {}
    make_topics(admin)
    assert ids() == describe_cluster(topics, TOPICS).topic_ids
    after = describe_cluster(topics, TOPICS)
    assert after.id == before.id
    assert not set(after.topic_ids.values()) & set(before.topic_ids.values())
    assert all(after.topic_ids.values())


def test_a_log_is_empty_after_its_topic_was_recreated(topics: str) -> None:
    send(topics, [(0, "key", "value")] * 10)
    admin = AdminClient({"bootstrap.servers": topics})
    delete_topics(admin)
    make_topics(admin)
    assert send(topics, [(0, "key", "value")])[0].offset() == 0
