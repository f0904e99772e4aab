"""A Kafka log for the collector's tests: its topics made, its records read back."""

from typing import NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic

from collector.producer import SentRecord
from schemas.topics import TOPICS
from simulator.kafka import read_log as read_lines

PARTITIONS = 4
SECONDS = 30.0


class LogRecord(NamedTuple):
    """A record and where it lies."""

    record: SentRecord
    partition: int
    offset: int


def create_topics(bootstrap: str) -> None:
    """Create all topics."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(topic, PARTITIONS, 1) for topic in TOPICS]
    for created in admin.create_topics(topics).values():
        created.result(SECONDS)


def read_log(bootstrap: str) -> list[LogRecord]:
    """Return all records of all topics, each partition's in order of offset."""
    return [
        LogRecord(
            SentRecord(topic, record.key or b"", record.value or b"", record.time), partition, record.offset
        )
        for (topic, partition), span in read_lines(bootstrap).lines.items()
        for record in span.records
    ]
