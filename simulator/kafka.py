"""Kafka, for tests and fixtures: records sent to the partition they name, and the log read back."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas.topics import TOPICS
from simulator.items import Prepared
from simulator.log import Line, Log, Record, Span

_FETCH = 10_000
_TIMESTAMP_NONE = 0


class KafkaFailed(Exception):
    """The broker did not do what was asked of it; ``what`` says what that was."""

    def __init__(self, what: str, reason: object) -> None:
        super().__init__(f"{what}: {reason}")
        self.what = what
        self.reason = reason


def partitions_of(bootstrap: str, seconds: float = 10.0) -> tuple[str, int]:
    """Return the cluster's id and how many partitions the topics have. Raises KafkaFailed, also where they differ."""
    # Critical only: what fails is raised, and that it ends with something in its queue is nothing to read between the lines of a run.
    producer = Producer({"bootstrap.servers": bootstrap, "log_level": 2})
    try:
        metadata = producer.list_topics(timeout=seconds)
    except KafkaException as error:
        raise KafkaFailed("metadata", error) from error
    counts = {topic: len(metadata.topics[topic].partitions) for topic in TOPICS if topic in metadata.topics}
    if counts.keys() != set(TOPICS) or len(set(counts.values())) != 1:
        raise KafkaFailed("topics", f"not all there with as many partitions each: {counts}")
    return str(metadata.cluster_id), counts[TOPICS[0]]


class Sender:
    """An idempotent producer that waits for every acknowledgement. ``acknowledged(token)`` is called for each record that has one."""

    def __init__(self, bootstrap: str, acknowledged: Callable[[str], None] | None = None) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 20,
                "batch.size": 1 << 20,
                "queue.buffering.max.messages": 200_000,
                "queue.buffering.max.kbytes": 256 * 1024,
                # Critical only: while a broker is away it would report every attempt. What fails in the end is raised.
                "log_level": 2,
            }
        )
        self._acknowledged = acknowledged
        self._error: KafkaError | None = None

    def send(self, record: Prepared, token: str = "") -> None:
        """Queue ``record``; waits while the queue is full. Raises KafkaFailed where an earlier record was refused."""
        topic, partition, key, value, timestamp = record
        while True:
            try:
                self._producer.produce(
                    topic, value, key, partition, on_delivery=self._callback(token), timestamp=timestamp
                )
            except BufferError:
                self._producer.poll(0.1)
            else:
                self._producer.poll(0)
                return self._raise()

    def close(self, seconds: float = 60.0) -> None:
        """Wait until everything is acknowledged. Raises KafkaFailed."""
        remaining = self._producer.flush(seconds)
        self._raise()
        if remaining:
            raise KafkaFailed("send", f"{remaining} records without acknowledgement after {seconds:.0f} s")

    def _callback(self, token: str) -> Callable[[KafkaError | None, Message], None]:
        if not token or self._acknowledged is None:
            return self._delivered
        acknowledged = self._acknowledged

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._delivered(error, message)
            if error is None:
                acknowledged(token)

        return delivered

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise KafkaFailed("send", self._error)


def send_prepared(
    bootstrap: str, records: Iterable[Prepared], progress: Callable[[int], None] | None = None
) -> int:
    """Send ``records``, wait for all acknowledgements, return how many there were; ``progress`` is told every thousand."""
    sender = Sender(bootstrap)
    sent = 0
    for record in records:
        sender.send(record)
        sent += 1
        if progress is not None and sent % 1000 == 0:
            progress(1000)
    sender.close()
    if progress is not None:
        progress(sent % 1000)
    return sent


def read_log(
    bootstrap: str,
    topics: Sequence[str] = TOPICS,
    *,
    seconds: float = 30.0,
    progress: Callable[[int], None] | None = None,
) -> Log:
    """Return what the topics hold, up to the end of each partition.

    Raises KafkaFailed, also when nothing comes for ``seconds`` before the end.
    """
    cluster_id, partitions = partitions_of(bootstrap)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "funnel-oracle",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
    )
    try:
        lines = [(topic, number) for topic in topics for number in range(partitions)]
        starts = {
            line: consumer.get_watermark_offsets(TopicPartition(*line), timeout=seconds)[0] for line in lines
        }
        records: dict[Line, list[Record]] = {line: [] for line in lines}
        ends = dict(starts)
        for line, record in _read(consumer, ends, seconds):
            records[line].append(record)
            if progress is not None and len(records[line]) % 1000 == 0:
                progress(1000)
    except KafkaException as error:
        raise KafkaFailed("read", error) from error
    finally:
        consumer.close()
    return Log(
        cluster_id, partitions, {line: Span(starts[line], ends[line], records[line]) for line in lines}
    )


def _read(consumer: Consumer, ends: dict[Line, int], seconds: float) -> Iterator[tuple[Line, Record]]:
    """Yield the records from ``ends`` up to the end of each line, in order of offset; ``ends`` then holds the next offsets.

    The end is where the broker has nothing more to give: what it calls its latest offset is not to be relied on everywhere.
    """
    consumer.assign([TopicPartition(*line, start) for line, start in ends.items()])
    unread = set(ends)
    give_up = time.monotonic() + seconds
    while unread:
        for message in consumer.consume(_FETCH, timeout=0.2):
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:
                raise KafkaFailed("read", error)
            give_up = time.monotonic() + seconds
            line, offset = _position(message)
            if line not in unread:
                continue
            if error is None:
                ends[line] = offset + 1
                yield line, _record(message, offset)
            else:
                # Offsets before the end may be those of markers, which nobody sees.
                ends[line] = max(ends[line], offset)
                unread.discard(line)
        if time.monotonic() > give_up:
            raise KafkaFailed("read", f"nothing came for {seconds:.0f} s, before the end of {sorted(unread)}")


def _position(message: Message) -> tuple[Line, int]:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None and partition is not None and offset is not None, "it was consumed"
    return (topic, partition), offset


def _record(message: Message, offset: int) -> Record:
    kind, timestamp = message.timestamp()
    return Record(offset, -1 if kind == _TIMESTAMP_NONE else timestamp, message.key(), message.value())
