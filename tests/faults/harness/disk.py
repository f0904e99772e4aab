"""Disks that are full.

The collector's: a bound on the size of a process's files does to its writes what a full disk does, part of one, then an error. ClickHouse's: a file
system of its own, as that server asks for room before it writes.
"""

import resource

from tests.faults.harness.world import World

BYTES = 3_000


def _bound(pid: int | None, size: int) -> None:
    if pid is not None:
        _, most = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))


class FullSpool:
    """The brokers are out of reach and the collector's disk is full: it has nowhere to keep an event."""

    def begin(self, world: World, share: float) -> None:
        for proxy in world.kafka:
            proxy.cut()
        _bound(world.process("collector").child.pid, BYTES)

    def heal(self, world: World) -> None:
        _bound(world.process("collector").child.pid, resource.RLIM_INFINITY)
        for proxy in world.kafka:
            proxy.mend()


class FullClickHouse:
    """There is no room for ClickHouse's data. Not where the world could not get it a disk of its own."""

    def begin(self, world: World, share: float) -> None:
        if world.disk:
            world.disk.fill()

    def heal(self, world: World) -> None:
        if world.disk:
            world.disk.free()
