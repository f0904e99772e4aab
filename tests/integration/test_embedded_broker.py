"""The embedded broker: a Kafka client's view of it, and its life as a child process."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.embedded.broker import Broker, cluster_at
from deploy.embedded.supervise import ChildFailed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def broker(tmp_path):
    with Broker(tmp_path) as running:
        yield running


def consume(bootstrap, topic, counts):
    """The first values of a topic's partitions, as many of each as `counts` says, in order of their offsets."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test"})
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in counts])
    values: dict[int, list[bytes]] = {}
    try:
        while sum(map(len, values.values())) < sum(counts.values()):
            message = consumer.poll(30)
            assert message is not None, f"only {values} came"
            assert message.error() is None
            values.setdefault(message.partition(), []).append(message.value())
    finally:
        consumer.close()
    return values


def test_what_is_produced_is_consumed(broker):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in admin.create_topics([NewTopic("clicks", num_partitions=3, replication_factor=1)]).values():
        future.result(30)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "acks": "all", "enable.idempotence": True})
    sent: dict[int, list[bytes]] = {}
    for number in range(300):
        sent.setdefault(number % 3, []).append(str(number).encode())
        producer.produce("clicks", value=str(number).encode(), partition=number % 3)
    assert producer.flush(30) == 0
    assert consume(broker.bootstrap, "clicks", dict.fromkeys(range(3), 100)) == sent


def test_every_start_is_a_new_and_empty_cluster(broker):
    first, before = broker.cluster_id, broker.pid
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce("left", value=b"behind")
    producer.flush(30)
    broker.stop()
    assert not psutil.pid_exists(before)
    broker.start()
    metadata = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=30)
    assert broker.cluster_id != first
    assert metadata.cluster_id == broker.cluster_id == cluster_at("127.0.0.1", broker.port)
    assert "left" not in metadata.topics


def test_stop_leaves_no_process_and_no_listener(broker):
    pid, port = broker.pid, broker.port
    broker.stop()
    assert broker.pid is None
    assert not psutil.pid_exists(pid)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    broker.stop()


def test_a_taken_port_is_a_clear_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = Broker(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(ChildFailed) as caught:
            broker.start()
    assert caught.value.returncode is not None
    assert str(tmp_path / "broker.log") in str(caught.value)
    assert broker.pid is None


def test_it_dies_with_its_parent(tmp_path):
    script = (
        "import sys, threading, time\n"
        "from deploy.embedded.broker import Broker\n"
        "broker = Broker(sys.argv[1])\n"
        "thread = threading.Thread(target=broker.start)\n"
        "thread.start(); thread.join()\n"
        # The thread that started it has ended, and it lives on.
        "time.sleep(0.5); print(broker.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        child = psutil.Process(pid)
        assert child.is_running()
        parent.kill()
    gone, _ = psutil.wait_procs([child], timeout=30)
    assert gone == [child]


def test_probe_of_a_port_where_nothing_answers():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert cluster_at("127.0.0.1", unused.getsockname()[1]) is None
