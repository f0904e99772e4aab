"""One class per fault: `begin` makes it, `heal` ends it. ``share``, from 0 to below 1, decides on what a fault leaves open."""

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from tests.disk import may_mount
from tests.faults.harness.data import HotKey, Poison, Renewed, Truncated, UnknownSchema
from tests.faults.harness.disk import FullClickHouse, FullSpool
from tests.faults.harness.storm import RebalanceStorm
from tests.faults.harness.world import World
from tests.proxy import Proxy


class Fault(Protocol):
    """Something that goes wrong between ``begin`` and ``heal``. Neither waits for the pipeline to go on."""

    def begin(self, world: World, share: float) -> None:
        """Let it go wrong."""

    def heal(self, world: World) -> None:
        """Undo it."""


@dataclass
class Ended:
    """Collector or worker ended, by SIGKILL or SIGTERM; started again."""

    part: str
    gently: bool = False

    def begin(self, world: World, share: float) -> None:
        child = world.process(self.part).child
        _ = child.stop() if self.gently else child.kill()

    def heal(self, world: World) -> None:
        if self.part == "collector":
            world.start_collector()
        else:
            world.start_worker(self.part)


@dataclass
class EndedClickHouse:
    """ClickHouse ended; started again over its data."""

    gently: bool = False

    def begin(self, world: World, share: float) -> None:
        server = world.running.stack.clickhouse
        _ = server.stop() if self.gently else server.kill()

    def heal(self, world: World) -> None:
        world.running.stack.clickhouse.start()


@dataclass
class EndedBroker:
    """A broker ended, of several one; started again over its log. Not for one that forgets."""

    gently: bool = False
    _at: int = 0

    def begin(self, world: World, share: float) -> None:
        self._at = int(share * len(world.brokers))
        broker = world.brokers[self._at]
        _ = broker.stop() if self.gently else broker.kill()

    def heal(self, world: World) -> None:
        world.brokers[self._at].start()


@dataclass
class Paused:
    """A process stands still (SIGSTOP), its connections stay open; then it goes on as if nothing had been (SIGCONT)."""

    part: str
    _pid: int | None = None

    def begin(self, world: World, share: float) -> None:
        self._pid = self._find(world, share)
        if self._pid is not None:
            os.kill(self._pid, signal.SIGSTOP)

    def heal(self, world: World) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGCONT)

    def _find(self, world: World, share: float) -> int | None:
        if self.part == "broker":
            found: int | None = world.brokers[int(share * len(world.brokers))].pid
            return found
        if self.part == "clickhouse":
            return world.running.stack.clickhouse.pid
        return world.process(self.part).child.pid


Networks = Callable[[World], Sequence[Proxy]]
NETWORKS: Mapping[str, Networks] = {
    "client-collector": lambda world: [world.front_door],
    "kafka": lambda world: world.kafka,
    "worker-clickhouse": lambda world: [world.clickhouse],
}
"""Where the networks are. Everybody talks to the brokers through the same one: a broker tells all of its clients one address."""


@dataclass
class Network:
    """What ``trouble`` does to a network, until it is mended."""

    proxies: Networks
    trouble: Callable[[Proxy, float], None]

    def begin(self, world: World, share: float) -> None:
        for proxy in self.proxies(world):
            self.trouble(proxy, share)

    def heal(self, world: World) -> None:
        for proxy in self.proxies(world):
            proxy.mend()


TROUBLES: Mapping[str, Callable[[Proxy, float], None]] = {
    "delays": lambda proxy, share: proxy.trouble(delay=0.05 + share * 0.5),
    "stalls": lambda proxy, share: proxy.hold_back(),
    "stalls-answers": lambda proxy, share: proxy.hold_back(answers_only=True),
    "half-closes": lambda proxy, share: proxy.half_close(),
    "is-cut": lambda proxy, share: proxy.cut(),
    "cuts-after-bytes": lambda proxy, share: proxy.trouble(cut_after=int(10 ** (1 + 5 * share))),
    "loses-answers": lambda proxy, share: proxy.trouble(unanswered_after=int(share * 3_000)),
}


@dataclass
class Stepped:
    """The clocks of collector and worker are set forth or back by an hour, and right again."""

    seconds: int

    def begin(self, world: World, share: float) -> None:
        world.clock.step(self.seconds)

    def heal(self, world: World) -> None:
        world.clock.step(0)


ANYWHERE: dict[str, Callable[[], Fault]] = {
    "collector-killed": partial(Ended, "collector"),
    "collector-stopped": partial(Ended, "collector", gently=True),
    "collector-paused": partial(Paused, "collector"),
    "worker-killed": partial(Ended, "worker"),
    "worker-stopped": partial(Ended, "worker", gently=True),
    "worker-paused": partial(Paused, "worker"),
    "clickhouse-killed": EndedClickHouse,
    "clickhouse-stopped": partial(EndedClickHouse, gently=True),
    "clickhouse-paused": partial(Paused, "clickhouse"),
    "broker-paused": partial(Paused, "broker"),
    "disk-full-spool": FullSpool,
    "clock-forth": partial(Stepped, 3600),
    "clock-back": partial(Stepped, -3600),
    "poison": Poison,
    "avro-truncated": Truncated,
    "schema-unknown": UnknownSchema,
    "schema-renewed": Renewed,
    "key-with-half-the-load": HotKey,
    **{
        f"{place}-{name}": partial(Network, proxies, trouble)
        for place, proxies in NETWORKS.items()
        for name, trouble in TROUBLES.items()
    },
}
WITH_A_DISK_OF_ITS_OWN: dict[str, Callable[[], Fault]] = {"disk-full-clickhouse": FullClickHouse}
WITH_A_LOG_THAT_LASTS: dict[str, Callable[[], Fault]] = {
    "broker-killed": EndedBroker,
    "broker-stopped": partial(EndedBroker, gently=True),
    "rebalance-storm": RebalanceStorm,
}


def faults_for(broker: str) -> dict[str, Callable[[], Fault]]:
    """Return what can go wrong on this machine with this broker, by name."""
    here = ANYWHERE | (WITH_A_DISK_OF_ITS_OWN if may_mount() else {})
    return here if broker == "embedded" else here | WITH_A_LOG_THAT_LASTS
