"""Topics that are changed while a worker reads them: it goes on with what was added, and never takes one topic's records for another's.

clicks, the first    ▶▶▶▶▶▶▶▶▶▶ deleted
clicks, the second             ▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶   as long as the first was, and longer
worker               ──▶──▶──▶ · (SIGSTOP) · ──▶ its offset is there: of another log
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from deploy.embedded.existing import ExistingKafka
from deploy.embedded.supervise import ChildFailed
from deploy.settings import clickhouse_settings
from schemas.topics import CLICKS, TOPICS
from simulator.acknowledged import read_acknowledged
from sinks.clickhouse.client import connect
from tests.faults.harness.group import Group, pause, resume, said, until
from tests.support import PARTITIONS, Running, drain, funnel

pytestmark = pytest.mark.apache
SECONDS = 30.0


@pytest.fixture
def group(apache: str, tmp_path: Path) -> Iterator[Group]:
    """A stack, and nobody in the group."""
    running = Running(tmp_path / "stack", lambda logs: ExistingKafka(apache, logs / "broker.log"))
    try:
        running.start()
        yield Group(running, tmp_path / "acknowledged.txt")
    finally:
        running.stack.stop()


@pytest.fixture
def admin(apache: str) -> AdminClient:
    """Who changes topics."""
    return AdminClient({"bootstrap.servers": apache})


def recreate(admin: AdminClient, topic: str) -> None:
    """Delete a topic and make it anew."""
    admin.delete_topics([topic], operation_timeout=SECONDS)[topic].result(SECONDS)

    def made() -> bool:
        try:
            admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(SECONDS)
        except KafkaException:
            return False  # the former one is still being deleted
        return True

    assert until(made)


def rows(group: Group, what: str) -> int:
    connection = connect(clickhouse_settings(group.running.values))
    try:
        return int(connection.query(f"SELECT {what}")[0][0])
    finally:
        connection.close()


def test_partitions_are_added_while_it_runs(group: Group, admin: AdminClient) -> None:
    """They are read soon; whatever was sent before, meanwhile and afterwards is in the journal."""
    worker = group.start("worker")
    traffic = group.send(600, 2.0)
    more = [NewPartitions(topic, PARTITIONS + 2) for topic in TOPICS]
    for changed in admin.create_partitions(more).values():
        changed.result(SECONDS)
    assert until(lambda: group.owned_by("worker") == PARTITIONS + 2), worker.log.read_text()
    traffic.finish()
    group.send(600, 0.5).finish()
    drain(group.running.values)
    # Conversions are told apart by transaction and status, not by id. The oracle knows only one number of partitions for a log.
    kept = [event_id for event_id, kind in read_acknowledged(group.path).items() if kind != "conversion"]
    ids = ", ".join(f"'{event_id}'" for event_id in kept)
    assert rows(group, f"uniqExact(event_id) FROM journal WHERE toString(event_id) IN ({ids})") == len(kept)
    assert rows(group, "sum(gaps) + sum(overlaps) + sum(abs(imbalance)) FROM ledger_sources") == 0
    audited = funnel(group.running, "audit")
    assert audited.returncode == 0, audited.stdout
    assert worker.running


def test_a_topic_is_recreated_while_it_runs(group: Group, admin: AdminClient) -> None:
    """Its offset is in the new log, too: only the topic's id tells. It ends, and does not start again by itself."""
    worker = group.start("worker", SESSION_TIMEOUT_SECONDS="30")
    group.send(300, 0.5).finish()
    drain(group.running.values)
    before = rows(group, "count() FROM journal")
    pause(worker)
    try:
        recreate(admin, CLICKS)
        group.send(1_500, 0.5).finish()
    finally:
        resume(worker)
    assert until(lambda: not worker.running)
    assert worker.stop() == 1
    assert said(worker, "clicks: the topic was recreated: the journal covers the one with the id ")
    assert rows(group, "count() FROM journal") == before
    with pytest.raises(ChildFailed):
        group.start("worker")
