"""The simulator's way in and out of Kafka, over the embedded broker."""

from pathlib import Path

import pytest

from deploy.topics import create_topics
from schemas.topics import TOPICS
from simulator.fixtures import records
from simulator.generate import generate
from simulator.items import Prepared, prepared
from simulator.kafka import KafkaFailed, partitions_of, read_log, send_prepared
from simulator.log import source_of
from simulator.mess import Mess
from simulator.oracle.compute import compute
from simulator.send import send_to_kafka
from tests.support import MakeBroker, started
from tests.unit.simulator.logs import NOON

PARTITIONS = 3
EVENTS = 3000


def test_what_is_sent_is_read_back(tmp_path: Path, make_broker: MakeBroker) -> None:
    with started(make_broker(tmp_path)) as broker:
        with pytest.raises(KafkaFailed):
            partitions_of(broker.bootstrap)
        settings = {"kafka": broker.bootstrap, "partitions": PARTITIONS, "replication": 1}
        create_topics(settings | {"retention_hours": 1_000_000, "min_insync_replicas": 1})
        assert partitions_of(broker.bootstrap) == (broker.cluster_id, PARTITIONS)
        fixture = list(records(EVENTS, PARTITIONS, NOON, run="fixture"))
        assert send_prepared(broker.bootstrap, fixture) == EVENTS
        log = read_log(broker.bootstrap)
        items = list(generate(5, EVENTS, NOON, Mess(), run="items"))
        sent = send_to_kafka(items, broker.bootstrap)
        both = read_log(broker.bootstrap)
    read = [
        Prepared(topic, partition, record.key, record.value, record.time)
        for (topic, partition), span in log.lines.items()
        for record in span.records
    ]
    assert sorted(read, key=str) == sorted(fixture, key=str)
    assert log.lines.keys() == {(topic, number) for topic in TOPICS for number in range(PARTITIONS)}
    for span in both.lines.values():
        assert [record.offset for record in span.records] == list(range(span.start, span.end))
    assert sum(len(span.records) for span in both.lines.values()) == 2 * EVENTS
    wellformed = {item.record["event_id"].lower() for item in items if item.record}
    assert set(sent.acknowledged) == wellformed
    result = compute(both)
    # There is no worker that would send the misrouted ones on.
    misrouted = {item.record["event_id"].lower() for item in items if item.record and item.direct}
    assert result.holders.keys() >= wellformed - misrouted
    assert result.lost_forwards
    assert result.sources.keys() == {source_of(broker.cluster_id, line) for line in both.lines}
    assert prepared(items[0], PARTITIONS).timestamp == items[0].time
