"""Three Apache Kafka brokers: every record on all of them, acknowledged by two."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.embedded.ports import free_port
from tests.apache.broker import ApacheBroker, Membership, new_id

SIZE = 3


class ApacheCluster:
    """Three brokers with the interface of one. ``brokers`` are its members: kill, pause, stop and start them one by one.

    ``advertised``: where clients are told to come to, per broker.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        advertised: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
    ) -> None:
        membership = Membership(new_id(), {node: free_port() for node in range(1, SIZE + 1)})
        addresses = list(advertised) or [""] * SIZE
        self.cluster_id = membership.cluster_id
        self.brokers = [
            ApacheBroker(
                Path(directory) / f"broker-{node}",
                advertised=addresses[node - 1],
                options=options or {},
                membership=membership,
                node=node,
            )
            for node in membership.controllers
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def log(self) -> Path:
        """What the first broker says."""
        return self.brokers[0].log

    @property
    def bootstrap(self) -> str:
        """All addresses, as Kafka clients want them."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def pid(self) -> int | None:
        """The first broker's process id."""
        return self.brokers[0].pid

    def start(self) -> None:
        """Start those that do not run, at once: one alone has no quorum. Raises ChildFailed."""
        self._each("start", [broker for broker in self.brokers if broker.pid is None])

    def stop(self) -> None:
        """End all. At once: the last of three would wait for a quorum before it stopped."""
        self.kill()

    def kill(self) -> None:
        """End all processes at once (SIGKILL)."""
        self._each("kill", self.brokers)

    def _each(self, action: str, brokers: Sequence[ApacheBroker]) -> None:
        with ThreadPoolExecutor(SIZE) as pool:
            for done in [pool.submit(getattr(broker, action)) for broker in brokers]:
                done.result()
