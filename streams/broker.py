"""What a worker asks of Kafka besides reading: facts about cluster and topics, and hops.

A hop is a message to another partition, acknowledged by Kafka before the flush that covers its trigger.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import confluent_kafka
import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from streams.errors import WorkerError

Offsets = npt.NDArray[np.int64]
NO_ID = "A" * 22
"""What an old broker's zeros look like."""
_PASSING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
    }
)
"""What brokers answer that are about to be back."""


class Cluster(NamedTuple):
    """A cluster's id, and per topic the number of partitions and the topic's id (empty where the broker gives none)."""

    id: str
    partitions: dict[str, int]
    topic_ids: dict[str, str]


class TopicsError(WorkerError):
    """The co-partitioned topics are missing or do not have the same number of partitions."""

    def __init__(self, partitions: dict[str, int]) -> None:
        found = ", ".join(f"{topic}: {count}" for topic, count in sorted(partitions.items()))
        super().__init__(
            f"all topics must exist with the same number of partitions (run `funnel init`); found {found}"
        )
        self.partitions = partitions


class KafkaAway(Exception):
    """No broker at ``bootstrap`` did what it was asked."""

    def __init__(self, bootstrap: str, reason: object) -> None:
        super().__init__(f"Kafka at {bootstrap} failed: {reason}")
        self.bootstrap = bootstrap


def describe_cluster(bootstrap: str, topics: Sequence[str], seconds: float = 30.0) -> Cluster:
    """Return the cluster behind ``bootstrap``. Raises TopicsError where ``topics`` are not co-partitioned, KafkaAway."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    try:
        metadata = admin.list_topics(timeout=seconds)
    except confluent_kafka.KafkaException as error:
        raise KafkaAway(bootstrap, error) from error
    known = metadata.topics
    partitions = {topic: len(known[topic].partitions) if topic in known else 0 for topic in topics}
    if len(set(partitions.values())) != 1 or 0 in partitions.values():
        raise TopicsError(partitions)
    return Cluster(str(metadata.cluster_id), partitions, _topic_ids(admin, bootstrap, topics, seconds))


def _topic_ids(admin: AdminClient, bootstrap: str, topics: Sequence[str], seconds: float) -> dict[str, str]:
    """Return the topics' ids in Kafka's own notation, which has no slash."""
    described = admin.describe_topics(TopicCollection(list(topics)), request_timeout=seconds)
    try:
        ids = {topic: str(future.result(seconds).topic_id) for topic, future in described.items()}
    except (confluent_kafka.KafkaException, TimeoutError) as error:
        raise KafkaAway(bootstrap, error) from error
    return {topic: _named(given) for topic, given in ids.items()}


def _named(given: str) -> str:
    return "" if given == NO_ID else given.replace("/", "_").replace("+", "-")


class TopicIds:
    """What ids ``topics`` have at the moment of asking. For one thread; a few milliseconds a call, as the connection stays open."""

    def __init__(self, bootstrap: str, topics: Sequence[str], seconds: float = 5.0) -> None:
        self._bootstrap, self._topics, self._seconds = bootstrap, list(topics), seconds
        self._admin = AdminClient({"bootstrap.servers": bootstrap})

    def __call__(self) -> dict[str, str]:
        """Return the id of each topic that is there, empty where the broker gives none. Raises KafkaAway."""
        wanted = TopicCollection(self._topics)
        described = self._admin.describe_topics(wanted, request_timeout=self._seconds)
        ids = {topic: self._id(future) for topic, future in described.items()}
        return {topic: given for topic, given in ids.items() if given is not None}

    def _id(self, described: Future[Any]) -> str | None:
        try:
            return _named(str(described.result(self._seconds).topic_id))
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise KafkaAway(self._bootstrap, error) from error
        except TimeoutError as error:
            raise KafkaAway(self._bootstrap, error) from error


def group_members(bootstrap: str, group: str, seconds: float = 30.0) -> list[str]:
    """Return who is in a consumer group, as client id and host. Raises KafkaAway.

    The embedded broker never names any.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap})
    try:
        found = admin.describe_consumer_groups([group], request_timeout=seconds)[group].result()
    except confluent_kafka.KafkaException as error:
        raise KafkaAway(bootstrap, error) from error
    return sorted(f"{member.client_id} at {member.host}" for member in found.members)


class Hop(NamedTuple):
    """One record to send. ``timestamp`` is the record time in ms, 0 for now."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    timestamp: int


class HopError(Exception):
    """Kafka did not acknowledge all hops. ``unsent`` is how many; ``reason`` is the first error."""

    def __init__(self, unsent: int, reason: str) -> None:
        super().__init__(f"{unsent} hops were not acknowledged: {reason}")
        self.unsent = unsent
        self.reason = reason


class HopSender:
    """An idempotent producer. Thread-safe; one flush at a time uses it."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = confluent_kafka.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                # One batch per partition and flush: `flush` does not wait for the rest of it.
                "linger.ms": 1_000,
                "partitioner": "murmur2",
                "queue.buffering.max.messages": 1_000_000,
                "delivery.timeout.ms": 30_000,
            }
        )

    def send(self, hops: Sequence[Hop]) -> None:
        """Send ``hops`` and return when every one is acknowledged. Raises HopError; sending them again changes nothing."""
        failures: list[str] = []

        def delivered(error: object, _message: object) -> None:
            if error is not None:
                failures.append(str(error))

        for hop in hops:
            try:
                self._produce(hop, delivered)
            except BufferError:
                self._producer.flush()
                self._produce(hop, delivered)
        unsent = self._producer.flush(60) if hops else 0
        if failures or unsent:
            raise HopError(len(failures) + unsent, failures[0] if failures else "no answer within 60 s")

    def _produce(self, hop: Hop, delivered: Callable[[object, object], None]) -> None:
        self._producer.produce(
            hop.topic,
            value=hop.value,
            key=hop.key,
            partition=hop.partition,
            timestamp=hop.timestamp,
            on_delivery=delivered,
        )


def _patiently(
    look: Callable[..., tuple[int, int]], place: TopicPartition, seconds: float
) -> tuple[int, int]:
    """Ask until there is an answer: a broker that has just started is not yet the leader of what it leads. Raises KafkaException."""
    retrying = Retrying(
        retry=retry_if_exception(_is_passing),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(0.2),
        reraise=True,
    )
    return retrying(look, place, timeout=seconds)


def _is_passing(error: BaseException) -> bool:
    cause = error.args[0] if isinstance(error, confluent_kafka.KafkaException) and error.args else None
    return isinstance(cause, KafkaError) and cause.code() in _PASSING


class LogEnds:
    """The log's first and next offset per line, found by reading up to the end.

    Reading, because what a broker calls its latest offset is not always the next one (an embedded broker answers with the beginning of
    the last batch).
    """

    def __init__(self, bootstrap: str, lines: Sequence[tuple[str, int]], seconds: float = 30.0) -> None:
        """Raises KafkaAway where no broker answers within ``seconds``."""
        self._bootstrap = bootstrap
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "funnel-ends",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 20,
            }
        )
        self._seconds = seconds
        self._starts: dict[tuple[str, int], int] = {}
        self._ends: dict[tuple[str, int], int] = {}
        try:
            for line in lines:
                start, latest = _patiently(
                    self._consumer.get_watermark_offsets, TopicPartition(*line), seconds
                )
                self._starts[line], self._ends[line] = start, max(start, latest - 1)
        except confluent_kafka.KafkaException as error:
            self._consumer.close()
            raise KafkaAway(bootstrap, error) from error

    def __call__(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Return the first and next offset per line, now. Raises KafkaAway."""
        self._consumer.assign([TopicPartition(*line, end) for line, end in self._ends.items()])
        open_lines = set(self._ends)
        deadline = time.monotonic() + self._seconds
        while open_lines:
            if time.monotonic() > deadline:
                raise KafkaAway(
                    self._bootstrap, f"no end of {sorted(open_lines)} within {self._seconds:.0f} s"
                )
            for message in self._consumer.consume(10_000, 0.2):
                line = str(message.topic()), int(message.partition() or 0)
                error, offset = message.error(), int(message.offset() or 0)
                if error is None:
                    self._ends[line] = offset + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    self._ends[line] = max(self._ends[line], offset)
                    open_lines.discard(line)
        # Nobody looks until the next call: no fetching on in the background.
        self._consumer.unassign()
        return {line: (self._starts[line], end) for line, end in self._ends.items()}

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


class Watermarks:
    """What the broker calls the next offset of a line. Where it does not know better, that is too low, never too high."""

    def __init__(self, bootstrap: str, seconds: float = 5.0) -> None:
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "funnel-watermarks",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        self._seconds = seconds

    def __call__(self, lines: Sequence[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """Return the next offset per line; nothing while no broker answers."""
        return {line: end for line, (_, end) in self.bounds(lines).items()}

    def bounds(self, lines: Sequence[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
        """Return the first and the next offset per line; nothing while no broker answers."""
        look = self._consumer.get_watermark_offsets
        try:
            found = {line: look(TopicPartition(*line), timeout=self._seconds) for line in lines}
        except confluent_kafka.KafkaException:
            return {}
        return {line: (int(start), int(end)) for line, (start, end) in found.items()}

    def close(self) -> None:
        """Close the client."""
        self._consumer.close()


def log_offsets(
    bootstrap: str, bounds: Mapping[tuple[str, int], tuple[int, int]], seconds: float = 30.0
) -> dict[tuple[str, int], Offsets]:
    """Return, in order, the offsets at which the log has records, from the first up to before the next offset per (topic, partition).

    Raises KafkaAway, also where nothing comes for ``seconds``.
    """
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "funnel-audit",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 50,
        }
    )
    found: dict[tuple[str, int], list[int]] = {line: [] for line in bounds}
    unread = {line for line, (start, end) in bounds.items() if start < end}
    try:
        consumer.assign([TopicPartition(*line, bounds[line][0]) for line in unread])
        give_up = time.monotonic() + seconds
        while unread:
            for message in consumer.consume(10_000, 0.2):
                give_up = time.monotonic() + seconds
                line, offset = (
                    (str(message.topic()), int(message.partition() or 0)),
                    int(message.offset() or 0),
                )
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaAway(bootstrap, error)
                if error is None and line in unread and offset < bounds[line][1]:
                    found[line].append(offset)
                # Behind the last record there may be offsets that are those of markers, which nobody sees.
                if error is not None or offset >= bounds[line][1] - 1:
                    unread.discard(line)
            if time.monotonic() > give_up:
                raise KafkaAway(
                    bootstrap, f"nothing came for {seconds:.0f} s, before the end of {sorted(unread)}"
                )
    except confluent_kafka.KafkaException as error:
        raise KafkaAway(bootstrap, error) from error
    finally:
        consumer.close()
    return {line: np.array(offsets, dtype=np.int64) for line, offsets in found.items()}
