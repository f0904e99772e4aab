"""Spools for tests: in a folder of their own, on a disk that fails when it is told to."""

import errno
from pathlib import Path

from prometheus_client import CollectorRegistry

from collector.producer import SentRecord
from collector.spool.disk import Disk
from collector.spool.spool import Limits, Spool
from schemas.metrics import SpoolMetrics

NOW = 1_767_225_600_000
ROOMY = 1 << 24


def record(number: int, size: int = 20) -> SentRecord:
    """Return a record like no other: its value has ``size`` bytes, its record time is ``number`` ms after NOW."""
    return SentRecord(
        "clicks", f"k{number:03}".encode(), f"{number}".encode().rjust(size, b"."), NOW + number
    )


class Opened:
    """A spool over ``directory`` and its metrics. ``again`` opens it as the next process would."""

    def __init__(
        self,
        directory: Path,
        disk: Disk | None = None,
        *,
        max_bytes: int = ROOMY,
        segment_bytes: int = ROOMY,
    ) -> None:
        self.directory = directory
        self.limits = Limits(max_bytes, segment_bytes)
        self.registry = CollectorRegistry()
        self.spool = Spool(directory, self.limits, SpoolMetrics.create(self.registry), disk)

    def again(self, disk: Disk | None = None) -> "Opened":
        self.spool.close()
        return Opened(
            self.directory,
            disk,
            max_bytes=self.limits.max_bytes,
            segment_bytes=self.limits.segment_bytes,
        )

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"funnel_collector_spool_{name}", labels) or 0.0

    def drain(self) -> list[SentRecord]:
        """Drain everything, as if the broker acknowledged it at once; return it."""
        found = []
        while oldest := self.spool.read_oldest():
            segment, left = oldest
            found += [kept.record for kept in left]
            if left:
                self.spool.drained(segment, left)
            self.spool.finish(segment)
        return found

    @property
    def files(self) -> list[Path]:
        """The segments, those set aside included."""
        return sorted(path for path in self.directory.iterdir() if path.name[0].isdigit())


class FailingDisk(Disk):
    """A disk that takes ``room`` more bytes, then part of a write and ENOSPC; and whose syncs, cuts or reads can fail."""

    def __init__(self, room: int = ROOMY) -> None:
        self.room = room
        self.sync_fails = False
        self.cut_fails = False
        self.read_fails = False
        self.syncs = 0

    def write(self, descriptor: int, data: bytes) -> None:
        super().write(descriptor, data[: self.room])
        if len(data) > self.room:
            self.room = 0
            raise OSError(errno.ENOSPC, "no space left")
        self.room -= len(data)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_fails:
            raise OSError(errno.EIO, "the sync failed")
        super().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        if self.cut_fails:
            raise OSError(errno.EIO, "the cut failed")
        super().truncate(descriptor, size)

    def read(self, path: Path, size: int) -> bytes:
        if self.read_fails:
            raise OSError(errno.EIO, "the read failed")
        return super().read(path, size)
