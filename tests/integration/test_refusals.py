"""What a worker does when log and journal do not fit together any more, on a broker that keeps its log.

journal   ────────────■ fence
log       ────────────────▶                    goes on behind the fence
                  ·····|──▶  start moved       refused: records were deleted unread
          ───────|           put back          refused: nothing is where reading must go on
          |──▶               topic recreated   refused: another topic of the same name
Each is accepted by the flag that its message names.
"""

import shutil
import time
from collections.abc import Iterator
from itertools import count

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions

from deploy.embedded.supervise import ChildFailed
from deploy.settings import clickhouse_settings
from deploy.topics import create_topics
from schemas.topics import TOPICS
from simulator.generate import generate
from simulator.items import Item
from simulator.kafka import read_log
from simulator.log import Log, Span
from simulator.mess import Mess
from simulator.oracle.compute import compute
from simulator.send import send_to_kafka
from simulator.verify import verify
from sinks.clickhouse.client import connect
from streams.broker import LogEnds, describe_cluster
from tests.apache.broker import ApacheBroker
from tests.support import PARTITIONS, Running, drain

pytestmark = pytest.mark.apache
EVENTS = 400
# Nothing twice and nothing astray but what a test makes so.
ORDERLY = Mess(duplicates=0, conflicts=0, malformed=0, misrouted=0)
SECONDS = 60.0
ACCEPTED = {"ACCEPT_LOG_LOSS": "1"}


class Scene:
    """A stack over a broker that keeps its log. One worker at a time."""

    def __init__(self, running: Running) -> None:
        self.running, self.stack = running, running.stack
        self.bootstrap = str(running.values["kafka"])
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap})
        self._numbers = count()

    @property
    def broker(self) -> ApacheBroker:
        broker = self.stack.broker
        assert isinstance(broker, ApacheBroker)
        return broker

    def items(self, seed: int) -> list[Item]:
        return list(generate(seed, EVENTS, int(time.time() * 1000), ORDERLY, run=f"run{seed}"))

    def send(self, items: list[Item]) -> None:
        send_to_kafka(items, self.bootstrap)

    def work(self, **settings: str) -> None:
        """Let a worker do all that there is to do, then stop it."""
        worker = self.stack.start_worker(f"worker-{next(self._numbers)}", **settings)
        drain(self.running.values)
        assert worker.child.stop() == 0

    def refusal(self) -> str:
        """What a worker says that does not do its work."""
        name = f"worker-{next(self._numbers)}"
        try:
            self.stack.start_worker(name)
        except ChildFailed:
            pass
        child = self.stack.processes[name].child
        deadline = time.monotonic() + SECONDS
        while child.running:
            assert time.monotonic() < deadline, child.log.read_text()
            time.sleep(0.1)
        assert child.stop() == 1
        return child.log.read_text()

    def query(self, sql: str) -> list[tuple[object, ...]]:
        connection = connect(clickhouse_settings(self.running.values))
        try:
            return [tuple(row) for row in connection.query(sql)]
        finally:
            connection.close()

    def ends(self) -> dict[tuple[str, int], int]:
        partitions = describe_cluster(self.bootstrap, TOPICS).partitions[TOPICS[0]]
        ends = LogEnds(self.bootstrap, [(topic, number) for topic in TOPICS for number in range(partitions)])
        try:
            return {line: end for line, (_, end) in ends().items()}
        finally:
            ends.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Records of a first run have been processed."""
    one = Running(tmp_path_factory.mktemp("refusals") / "stack", lambda logs: ApacheBroker(logs / "kafka"))
    try:
        one.start()
        scene = Scene(one)
        scene.send(scene.items(1))
        scene.work()
        yield scene
    finally:
        one.stack.stop()


def test_records_that_were_deleted_unread_are_refused(scene: Scene) -> None:
    scene.send(scene.items(2))
    places = [TopicPartition(*line, end) for line, end in scene.ends().items() if line[0] == "clicks"]
    for deleted in scene.admin.delete_records(places).values():
        deleted.result(SECONDS)
    said = scene.refusal()
    assert "/clicks/" in said
    assert "were deleted before they were processed. Set FUNNEL_ACCEPT_LOG_LOSS=1" in said
    # Nothing to read is left of the clicks; the next ones carry the fence over the gap.
    scene.work(**ACCEPTED)
    scene.send(scene.items(9))
    scene.work(**ACCEPTED)


def test_a_log_that_was_put_back_is_refused(scene: Scene) -> None:
    """As after restoring a broker's disk: same cluster, same topics, fewer records."""
    scene.broker.stop()
    kept = scene.broker.data.with_name("kept")
    shutil.copytree(scene.broker.data, kept)
    scene.broker.start()
    scene.send(scene.items(3))
    scene.work()
    scene.broker.stop()
    shutil.rmtree(scene.broker.data)
    kept.rename(scene.broker.data)
    scene.broker.start()
    said = scene.refusal()
    assert "which the log does not hold" in said
    assert "Set FUNNEL_ACCEPT_LOG_LOSS=1" in said


def test_a_recreated_topic_is_refused_even_where_it_is_longer(scene: Scene) -> None:
    recreate(scene, [topic for topic in TOPICS if topic != "leads"])
    former = describe_cluster(scene.bootstrap, TOPICS).topic_ids["leads"]
    recreate(scene, ["leads"])
    present = describe_cluster(scene.bootstrap, TOPICS).topic_ids["leads"]
    for seed in (4, 5, 6):
        scene.send(scene.items(seed))
    said = scene.refusal()
    assert ": the topic was recreated: the journal covers the one with the id " in said
    assert "Set FUNNEL_ACCEPT_LOG_LOSS=1 to read the new one from its start" in said
    scene.work(**ACCEPTED)
    # Accepted once, and for topics that had no record yet as well.
    scene.work()
    sources = [str(row[0]) for row in scene.query("SELECT DISTINCT source FROM ledger")]
    assert any(f"/{former}/leads/" in source for source in sources)
    assert any(f"/{present}/leads/" in source for source in sources)


def test_added_partitions_change_no_number_and_unequal_ones_are_refused(scene: Scene) -> None:
    """Before: 3 partitions. After: 5, where most routes live elsewhere; everything of before is sent again."""
    recreate(scene, TOPICS)
    before, after = scene.items(7), scene.items(8)
    scene.send(before)
    scene.work(**ACCEPTED)
    add_partitions(scene, ["clicks"])
    assert "must exist with the same number of partitions" in scene.refusal()
    add_partitions(scene, [topic for topic in TOPICS if topic != "clicks"])
    scene.send(before + after)
    scene.work()
    report = verify(compute(at_home(read_log(scene.bootstrap), scene)), scene.query, {})
    wrong = {check.name: check.differences for check in report.checks if not check.ok}
    # Its flushes and sources are those of more partitions than one; all else must agree.
    assert not {name: said for name, said in wrong.items() if name in NUMBERS}, wrong
    ids = describe_cluster(scene.bootstrap, TOPICS).topic_ids.values()
    [(duplicates,)] = scene.query(
        f"SELECT sum(duplicates) FROM ledger WHERE splitByChar('/', source)[-3] IN ({', '.join(map(repr, ids))})"
    )
    assert duplicates == len(before)


NUMBERS = {"transactions counted", "credits in force", "rollup: groups", "rollup: unique visitors by group"}


def at_home(log: Log, scene: Scene) -> Log:
    """The same records as one partition, where none is astray."""
    spans = {}
    for topic in TOPICS:
        spread = [record for line, span in log.lines.items() if line[0] == topic for record in span.records]
        records = [
            record._replace(offset=number)
            for number, record in enumerate(sorted(spread, key=lambda one: one.time))
        ]
        spans[topic, 0] = Span(0, len(records), records)
    return Log(log.cluster_id, 1, spans, describe_cluster(scene.bootstrap, TOPICS).topic_ids)


def recreate(scene: Scene, topics: tuple[str, ...] | list[str]) -> None:
    for deleted in scene.admin.delete_topics(list(topics), operation_timeout=SECONDS).values():
        deleted.result(SECONDS)
    while set(scene.admin.list_topics(timeout=SECONDS).topics) & set(topics):
        time.sleep(0.05)
    create_topics(scene.running.values)


def add_partitions(scene: Scene, topics: list[str]) -> None:
    wanted = [NewPartitions(topic, PARTITIONS + 2) for topic in topics]
    for made in scene.admin.create_partitions(wanted, operation_timeout=SECONDS).values():
        made.result(SECONDS)
    deadline = time.monotonic() + SECONDS
    while any(
        len(scene.admin.list_topics(topic, timeout=SECONDS).topics[topic].partitions) != PARTITIONS + 2
        for topic in topics
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
