"""The directory of segments. Blocking, and for one thread at a time: the event loop has it done in a thread of its own.

Records are appended to the newest segment and drained from the oldest. A segment whose write or sync failed is
never written again: after a failed fsync the kernel may have thrown the pages away and call the next one a success.
"""

import fcntl
import logging
import os
import secrets
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, takewhile
from pathlib import Path
from time import perf_counter

from collector.errors import SpoolError
from collector.producer import SentRecord
from collector.spool.disk import Disk
from collector.spool.position import read_position, write_position
from collector.spool.records import frame, unframe
from collector.spool.segment import Kept, Name, Segment, kept, parse, read_name
from schemas.metrics import SpoolMetrics

ROOM_BYTES = 64 * 1024
"""With less room than for a few of the largest events the spool counts as full."""
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """``max_bytes`` bounds all files of the spool, ``segment_bytes`` is the size at which the next one begins."""

    max_bytes: int
    segment_bytes: int = 8 << 20


class Spool:
    """The records in ``directory``, created for its owner only, and locked as long as this object is open.

    Raises SpoolError where the directory cannot be used, or another process uses it. ``failing``: the newest write
    failed. ``bytes``: of all files, also of those set aside.
    """

    def __init__(
        self, directory: Path, limits: Limits, metrics: SpoolMetrics, disk: Disk | None = None
    ) -> None:
        self._directory = directory
        self._limits = limits
        self._metrics = metrics
        self._disk = disk or Disk()
        self._segments: list[Segment] = []
        self._active: int | None = None
        self._next_number = 1
        self.bytes = 0
        self.failing = False
        try:
            self._descriptor, self._lock = _locked(directory)
            self._look_around()
        except OSError as error:
            raise SpoolError(directory, str(error)) from error

    @property
    def records(self) -> int:
        """How many records are not drained."""
        return sum(segment.records for segment in self._segments)

    @property
    def oldest(self) -> int | None:
        """A record time (ms UTC) that none of those left is older than; None without one."""
        first = next((segment for segment in list(self._segments) if segment.records), None)
        return first.oldest if first else None

    def append(self, records: Sequence[SentRecord]) -> int:
        """Write and sync ``records``; return how many of them, from the front, had room and are kept.

        Raises OSError: none is kept.
        """
        try:
            segment, descriptor = self._open_segment()
            frames = [frame(record, segment.name.salt) for record in records]
            room = self._limits.max_bytes - self.bytes
            fitting = sum(1 for _ in takewhile(room.__ge__, accumulate(map(len, frames))))
            if fitting:
                self._write(segment, descriptor, b"".join(frames[:fitting]))
        except OSError:
            self._abandon()
            raise
        self._account(segment, records[:fitting], sum(map(len, frames[:fitting])))
        return fitting

    def has_room(self) -> bool:
        """Whether a record that came now would be kept. After a failed write, that is tried."""
        if self._limits.max_bytes - self.bytes < ROOM_BYTES:
            return False
        if self.failing:
            try:
                self._try_disk()
            except OSError:
                return False
            self.failing = False
        return True

    def read_oldest(self) -> tuple[Segment, list[Kept]] | None:
        """Return the oldest segment and what is left of its records, None without one. Nothing more is written to it.

        One that cannot be read is set aside, and the next one returned.
        """
        while self._segments:
            segment = self._segments[0]
            if len(self._segments) == 1:
                self._close_active()
            try:
                data = self._disk.read(segment.path, segment.size)
            except OSError as error:
                self.finish(self._unreadable(segment, error))
                continue
            content = parse(data, segment.name.salt)
            lost = content.damaged + (content.end < segment.size)
            if lost and segment.flaw != "corrupt":
                self._flaw(segment, "corrupt", lost)
            return segment, [kept(data, span) for span in content.whole if span.end > segment.drained]
        return None

    def drained(self, segment: Segment, part: Sequence[Kept]) -> None:
        """Note that the broker has ``part``, which follows on what was noted before."""
        segment.drained = part[-1].end
        segment.oldest = part[-1].record.timestamp
        segment.records -= len(part)
        self._metrics.drained.inc(len(part))
        try:
            write_position(self._directory, segment.path.name, segment.drained)
        except OSError as error:
            # Only the next process misses it, and sends again what downstream knows.
            _log.warning("the spool's position is not noted: %s", error)

    def refused(self, segment: Segment) -> None:
        """Note that the broker refuses a record of ``segment`` for what it is: the file will be kept."""
        self._flaw(segment, "refused", 1)

    def finish(self, segment: Segment) -> None:
        """Delete a segment of which everything is drained; one with a flaw is kept under another name. Raises OSError."""
        if segment.flaw:
            segment.path.rename(segment.path.with_suffix(f".{segment.flaw}"))
            _log.error("the spool keeps %s as .%s", segment.path.stem, segment.flaw)
        else:
            segment.path.unlink()
            self.bytes -= segment.size
        self._segments.remove(segment)

    def close(self) -> None:
        """Let go of the files and the lock."""
        self._close_active()
        os.close(self._lock)
        os.close(self._descriptor)

    def _look_around(self) -> None:
        noted, offset = read_position(self._directory)
        names = ((path, read_name(path)) for path in sorted(self._directory.iterdir()))
        for path, found in names:
            if found is None:
                continue
            name, to_drain = found
            self._next_number = name.number + 1
            if not to_drain:
                self.bytes += path.stat().st_size
                continue
            try:
                segment = self._recovered(path, name, offset if path.name == noted else 0)
            except OSError as error:
                segment = self._unreadable(Segment(path, name, path.stat().st_size), error)
            self._segments.append(segment)
            self.bytes += segment.size
        if self._segments:
            _log.warning("the spool %s holds %d events for Kafka", self._directory, self.records)

    def _recovered(self, path: Path, name: Name, noted: int) -> Segment:
        """The segment that another process left; what it did not finish writing is cut off."""
        data = self._disk.read(path, -1)
        content = parse(data, name.salt)
        drained = noted if noted in (span.end for span in content.whole) else 0
        left = [span for span in content.whole if span.end > drained]
        oldest = unframe(data, left[0]).timestamp if left else 0
        segment = Segment(path, name, content.end, len(left), oldest, drained)
        if content.end < len(data):
            self._metrics.damaged.labels("torn").inc()
            _log.warning("the spool's %s ended in %d torn bytes", path, len(data) - content.end)
            os.truncate(path, content.end)
        if content.damaged:
            self._flaw(segment, "corrupt", content.damaged)
        return segment

    def _open_segment(self) -> tuple[Segment, int]:
        """The segment to write to, and its descriptor: a new one where there is none or it is large enough."""
        if self._active is not None and self._segments[-1].size < self._limits.segment_bytes:
            return self._segments[-1], self._active
        self._close_active()
        name = Name(self._next_number, secrets.randbits(32))
        segment = Segment(self._directory / name.file, name)
        self._active = self._disk.create(segment.path)
        self._next_number += 1
        self._segments.append(segment)
        self._disk.sync(self._descriptor)
        return segment, self._active

    def _write(self, segment: Segment, descriptor: int, data: bytes) -> None:
        self._disk.write(descriptor, data)
        started = perf_counter()
        self._disk.sync(descriptor)
        self._metrics.sync_seconds.observe(perf_counter() - started)
        self.failing = False

    def _account(self, segment: Segment, records: Sequence[SentRecord], size: int) -> None:
        if records and not segment.records:
            segment.oldest = records[0].timestamp
        segment.size += size
        segment.records += len(records)
        self.bytes += size
        self._metrics.spooled.inc(len(records))

    def _abandon(self) -> None:
        """Cut off what was written in part, and never write to that segment again."""
        self.failing = True
        if self._active is None:
            return
        segment, descriptor = self._segments[-1], self._active
        try:
            self._disk.truncate(descriptor, segment.size)
        except OSError:
            # What is behind ``size`` is never read; the next process finds it torn, or whole and sends it.
            pass
        self._close_active()
        if not segment.size:
            self._segments.pop()
            segment.path.unlink(missing_ok=True)

    def _close_active(self) -> None:
        if self._active is not None:
            descriptor, self._active = self._active, None
            os.close(descriptor)

    def _try_disk(self) -> None:
        path = self._directory / "trial"
        path.unlink(missing_ok=True)
        descriptor = self._disk.create(path)
        try:
            self._disk.write(descriptor, bytes(ROOM_BYTES))
            self._disk.sync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()

    def _unreadable(self, segment: Segment, error: OSError) -> Segment:
        _log.error("the spool's %s cannot be read: %s", segment.path, error)
        self._flaw(segment, "corrupt", 1)
        return segment

    def _flaw(self, segment: Segment, reason: str, count: int) -> None:
        segment.flaw = segment.flaw or reason
        self._metrics.damaged.labels(reason).inc(count)
        _log.error("the spool's %s has %d %s records", segment.path, count, reason)


def _locked(directory: Path) -> tuple[int, int]:
    """Return descriptors of the directory and of its lock. Raises OSError, SpoolError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.stat().st_mode & _OPEN_TO_OTHERS:
        raise SpoolError(directory, "others may look into it; take their rights away (chmod 700)")
    _sync_name(directory)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise SpoolError(directory, "another collector uses it; each needs one of its own") from None
    return os.open(directory, os.O_RDONLY | os.O_CLOEXEC), lock


def _sync_name(directory: Path) -> None:
    """See to it that a new directory does not vanish with a loss of power, and all that is in it."""
    parent = os.open(directory.resolve().parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)
