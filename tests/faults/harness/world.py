"""One round's processes, the networks between them, and whoever restarts what has ended."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from deploy.embedded.broker import Broker, LocalBroker
from deploy.embedded.ports import free_port
from deploy.embedded.stack import Process, answers, owns_partitions
from tests.apache.broker import ApacheBroker
from tests.apache.cluster import SIZE, ApacheCluster
from tests.disk import Disk, may_mount
from tests.faults.harness.clock import Clock
from tests.faults.harness.contracts import Contracts
from tests.proxy import Proxy
from tests.support import Running

BROKERS = ("embedded", "apache", "cluster")
NOWHERE = ("127.0.0.1", 1)


class World:
    """Broker (one of BROKERS), ClickHouse, collector and worker, fresh, each behind a proxy; all gone at the end of ``with``.

    ``kafka`` are the proxies before the brokers, which everybody goes through; ``clickhouse`` is the one between workers and ClickHouse,
    ``front_door`` the one between clients and collector. ``restarts`` counts processes that ended although nobody had ended them.
    Collector and workers take ``clock``'s time. ``disk`` holds ClickHouse's data, where this machine lets us mount one.
    """

    def __init__(self, directory: Path, broker: str) -> None:
        self.broker = broker
        self.clock = Clock(directory / "clock")
        self.contracts = Contracts()
        self.front_door, self.clickhouse = Proxy(NOWHERE), Proxy(NOWHERE)
        self.kafka = [Proxy(NOWHERE) for _ in range(SIZE if broker == "cluster" else 1)]
        self.running = Running(directory / "stack", self._make_broker, self.clock.variables())
        self.disk = Disk(directory / "stack" / "clickhouse", keep=True) if may_mount() else None
        self.restarts = 0
        self.workers = ["worker"]
        self._brokers: list[Any] = []
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def values(self) -> dict[str, Any]:
        """The settings, as read: Kafka through its proxies, ClickHouse directly."""
        return {**self.running.values, "kafka": ",".join(proxy.address for proxy in self.kafka)}

    @property
    def url(self) -> str:
        """The collector's front door."""
        return f"http://{self.front_door.address}"

    @property
    def brokers(self) -> list[Any]:
        """The broker processes, one by one."""
        return self._brokers

    def process(self, name: str) -> Process:
        """The collector or a worker."""
        return self.running.stack.processes[name]

    def start_collector(self, ready: Callable[[str], bool] = lambda metrics: True) -> Process:
        """Start it; return once it is ``ready``: at once."""
        return self._begin("collector", "collector", ready)

    def start_worker(self, name: str, ready: Callable[[str], bool] = lambda metrics: True) -> Process:
        """Start a worker; return once it is ``ready``: at once."""
        return self._begin(name, "worker", ready, CLICKHOUSE_PORT=str(self.clickhouse.port))

    def keep(self) -> None:
        """Restart collector and workers where they have ended, as whatever runs them in production does, and count that."""
        parts: Mapping[str, Callable[[], object]] = {
            "collector": self.start_collector,
            **{name: partial(self.start_worker, name) for name in self.workers},
        }
        for name, start in parts.items():
            if not self.process(name).child.running:
                self.restarts += 1
                start()

    def _begin(self, name: str, command: str, ready: Callable[[str], bool], **more: str) -> Process:
        kafka = ",".join(proxy.address for proxy in self.kafka)
        more = {**self.contracts.variables(), "KAFKA": kafka, **more}
        return self.running.stack.start(name, command, ready, **more)

    def _start(self) -> None:
        for proxy in (*self.kafka, self.front_door, self.clickhouse):
            self._open.enter_context(proxy)
        self._open.enter_context(self.contracts)
        stack = self.running.stack
        if self.disk:
            self._open.enter_context(self.disk)
        self._open.callback(stack.stop)
        self.running.start(**self._topics())
        self.running.values |= self.contracts.settings()
        self.clickhouse.target = (stack.clickhouse.host, stack.clickhouse.port)
        self.front_door.target = ("127.0.0.1", int(stack.collector_url.rpartition(":")[2]))
        self.start_collector(lambda _: answers(stack.collector_url + "/readyz"))
        self.start_worker("worker", owns_partitions)

    def _topics(self) -> dict[str, str]:
        return {"REPLICATION": "3", "MIN_INSYNC_REPLICAS": "2"} if self.broker == "cluster" else {}

    def _make_broker(self, logs: Path) -> LocalBroker:
        addresses = [proxy.address for proxy in self.kafka]
        broker: Any
        if self.broker == "cluster":
            broker = ApacheCluster(logs, advertised=addresses)
            self._brokers = broker.brokers
        elif self.broker == "apache":
            broker = ApacheBroker(logs, advertised=addresses[0])
            self._brokers = [broker]
        else:
            broker = Broker(logs, port=free_port(), advertised=addresses[0])
            self._brokers = [broker]
        for proxy, one in zip(self.kafka, self._brokers, strict=True):
            proxy.target = (one.host, one.port)
        return broker
