"""Several real workers in one group on Apache Kafka, seen from outside: who is in it, and who owns what."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from confluent_kafka import ConsumerGroupState
from confluent_kafka.admin import AdminClient

from deploy.embedded.supervise import Child
from schemas.topics import TOPICS
from simulator.acknowledged import append_acknowledged
from simulator.generate import generate
from simulator.mess import Mess
from simulator.send import send_to_kafka
from tests.faults.harness.judge import judge
from tests.proxy import Proxy
from tests.support import PARTITIONS, Running

PATIENCE_SECONDS = 120.0
SLICES = 10
Owned = dict[str, dict[str, set[int]]]
"""Partition numbers by topic, by member."""


def until(true: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Whether it becomes true within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := true()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


class Traffic(threading.Thread):
    """Sends ``events`` simulated events into Kafka over ``seconds``, in slices; what is acknowledged is appended to ``path``."""

    def __init__(self, kafka: str, path: Path, seed: int, events: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self._kafka, self._path, self._seconds = kafka, path, seconds
        self._items = list(generate(seed, events, int(time.time() * 1000), Mess()))
        self._error: BaseException | None = None

    def run(self) -> None:
        step = len(self._items) // SLICES
        try:
            for start in range(0, len(self._items), step):
                sent = send_to_kafka(self._items[start : start + step], self._kafka)
                append_acknowledged(self._path, sent.acknowledged)
                time.sleep(self._seconds / SLICES)
        except BaseException as error:  # raised by ``finish``
            self._error = error

    def finish(self) -> None:
        """Return when all has been acknowledged. Raises what kept it from being so."""
        self.join()
        if self._error is not None:
            raise self._error


class Group:
    """The workers beside a stack. ``path`` is where acknowledged ids are."""

    def __init__(self, running: Running, path: Path) -> None:
        self.running, self.path = running, path
        self._admin = AdminClient({"bootstrap.servers": running.values["kafka"]})
        self._seed = 0

    def start(self, name: str, proxy: Proxy | None = None, **more: str) -> Child:
        """Start a worker, whose way to ClickHouse may be ``proxy``; return once it owns partitions."""
        port = {} if proxy is None else {"CLICKHOUSE_PORT": str(proxy.port)}
        return self.running.stack.start_worker(name, **port, **more).child

    def send(self, events: int = 400, seconds: float = 3.0) -> Traffic:
        """Begin to send more traffic."""
        self._seed += 1
        traffic = Traffic(self.running.values["kafka"], self.path, self._seed, events, seconds)
        traffic.start()
        return traffic

    def members(self) -> Owned:
        """Who owns what, as the group's coordinator has it; nothing while it is being settled."""
        group = self.running.values["group"]
        found = self._admin.describe_consumer_groups([group], request_timeout=30.0)[group].result()
        if found.state != ConsumerGroupState.STABLE:
            return {}
        owned: Owned = {}
        for member in found.members:
            lines = owned.setdefault(member.member_id, {topic: set() for topic in TOPICS})
            for line in member.assignment.topic_partitions if member.assignment else ():
                lines[line.topic].add(line.partition)
        return owned

    def settle(self, count: int) -> Owned:
        """Return who owns what once the group has ``count`` members; each must own the same numbers of all topics, and every number be owned once."""
        owned: Owned = {}

        def settled() -> bool:
            nonlocal owned
            owned = self.members()
            return len(owned) == count

        assert until(settled), f"{len(owned)} members, not {count}"
        for lines in owned.values():
            assert len({frozenset(numbers) for numbers in lines.values()}) == 1, (
                f"not co-partitioned: {owned}"
            )
        numbers = sorted(number for lines in owned.values() for number in lines[TOPICS[0]])
        assert numbers == list(range(PARTITIONS)), f"every partition has one owner: {owned}"
        return owned

    def owned_by(self, name: str) -> int:
        """How many partitions this worker has taken over, fences read and state restored."""
        text = httpx.get(self.running.stack.processes[name].metrics, timeout=5.0, trust_env=False).text
        [line] = [line for line in text.splitlines() if line.startswith("funnel_worker_partitions ")]
        return int(float(line.split()[1]))

    def owns_all(self, name: str) -> bool:
        """Whether these are all."""
        return self.owned_by(name) == PARTITIONS

    def assert_exact(self, *traffic: Traffic) -> None:
        """Wait for ``traffic``, drain and judge: nothing lost, doubled or wrong, the ledger without gap or overlap, `funnel audit` content."""
        for one in traffic:
            one.finish()
        verdict = judge(self.running.values, self.path)
        assert verdict.ok, verdict.problems


def pause(child: Child) -> None:
    """Let a process stand still."""
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)


def resume(child: Child) -> None:
    """Let it go on."""
    if child.pid is not None:
        os.kill(child.pid, signal.SIGCONT)


def said(child: Child, text: str) -> bool:
    """Whether its log has ``text``."""
    return text in child.log.read_text(errors="replace")
