"""One Apache Kafka broker (KRaft, broker and controller in one process) with the interface of the embedded one.

Unlike that one it keeps its data, its cluster id and its port when it is started again.
"""

import base64
import os
import shutil
import signal
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.embedded.broker import members_at
from deploy.embedded.ports import free_port
from deploy.embedded.supervise import Child
from tests.apache.distribution import CHECKPOINT, distribution, java

READY_SECONDS = 120.0
STOP_SECONDS = 60.0


def new_id() -> str:
    """Return a new id of a cluster or folder, as Kafka writes them: 22 characters."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


@dataclass(slots=True)
class Membership:
    """What the brokers of a cluster have in common: its id, and the controllers' ports by node."""

    cluster_id: str
    controllers: dict[int, int]
    host: str = "127.0.0.1"

    def settings(self, node: int) -> dict[str, str]:
        """Return what of this stands in the file of node ``node``."""
        voters = ",".join(f"{one}@{self.host}:{port}" for one, port in self.controllers.items())
        copies = str(len(self.controllers))
        in_sync = str(max(1, len(self.controllers) - 1))
        return {
            "process.roles": "broker,controller",
            "node.id": str(node),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "default.replication.factor": copies,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": in_sync,
            "share.coordinator.state.topic.replication.factor": copies,
            "share.coordinator.state.topic.min.isr": in_sync,
        }


# What makes a broker small and quick: few threads and partitions, a group that waits for nobody.
QUICK = {
    "num.network.threads": "2",
    "num.io.threads": "2",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "1",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.coordinator.threads": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "auto.create.topics.enable": "false",
}


@dataclass
class ApacheBroker:
    """One broker process on loopback ports. Its data is in ``directory``/data, its log ``directory``/broker.log.

    ``port`` 0 picks a free one, once. ``advertised``: the `host:port` that clients are told to come to, where that is another one.
    ``options`` are settings of the broker's own file. ``membership``: where it is one of several; ``node`` is its id there.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    advertised: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    membership: Membership | None = None
    node: int = 1
    _child: Child | None = None

    def __post_init__(self) -> None:
        self.directory = Path(self.directory)
        self.port = self.port or free_port(self.host)
        if self.membership is None:
            self.membership = Membership(new_id(), {self.node: free_port(self.host)}, self.host)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.directory / "broker.log"

    @property
    def data(self) -> Path:
        """What survives it."""
        return self.directory / "data"

    @property
    def cluster_id(self) -> str:
        """The id of the cluster that it is or belongs to."""
        assert self.membership is not None
        return self.membership.cluster_id

    @property
    def bootstrap(self) -> str:
        """`host:port`, as Kafka clients want it."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id, None when it is not running."""
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start with the data of before, if any; returns when it is a member of its cluster. Raises ChildFailed, MissingTool."""
        self._child = Child(f"broker {self.node}", self._command(), self.log)
        self._child.start(self.is_member, READY_SECONDS)

    def is_member(self) -> bool:
        """Whether this broker answers, and counts itself in."""
        cluster_id, members = members_at(self.host, self.port)
        return cluster_id == self.cluster_id and self.node in members

    def stop(self) -> None:
        """Stop the process; what it held stays on disk."""
        if self._child:
            # One that is paused hears nothing.
            self.resume()
            self._child.stop(STOP_SECONDS)

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        if self._child:
            self._child.kill()

    def pause(self) -> None:
        """Let the process stand still (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def forget(self) -> None:
        """Remove the data of a stopped broker that is alone: the next start is a new cluster with a new id at the same address."""
        assert self.pid is None and self.membership is not None and len(self.membership.controllers) == 1
        shutil.rmtree(self.data, ignore_errors=True)
        self.membership.cluster_id = new_id()

    def _signal(self, which: signal.Signals) -> None:
        if self.pid is not None:
            os.kill(self.pid, which)

    def _command(self) -> list[str]:
        folder = distribution()
        self._format(folder / CHECKPOINT)
        settings = self.directory / "server.properties"
        settings.write_text("".join(f"{name}={value}\n" for name, value in self._settings().items()))
        return java(folder, "kafka.Kafka", [str(settings)])

    def _format(self, checkpoint: Path) -> None:
        if (self.data / "meta.properties").exists():
            return
        self.data.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkpoint, self.data)
        (self.data / "meta.properties").write_text(
            f"version=1\ncluster.id={self.cluster_id}\nnode.id={self.node}\ndirectory.id={new_id()}\n"
        )

    def _settings(self) -> dict[str, str]:
        assert self.membership is not None
        controller = f"CONTROLLER://{self.host}:{self.membership.controllers[self.node]}"
        return {
            **self.membership.settings(self.node),
            "listeners": f"PLAINTEXT://{self.bootstrap},{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.advertised or self.bootstrap}",
            "log.dirs": str(self.data),
            **QUICK,
            **self.options,
        }
