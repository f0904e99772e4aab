"""From the event loop to the disk: records that come while one sync runs share the next one."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple

from collector.errors import Unavailable
from collector.producer import SentRecord
from collector.spool.spool import Spool

MOST_RECORDS = 10_000
QUIET_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Entry(NamedTuple):
    """A record, and who waits for it."""

    record: SentRecord
    future: asyncio.Future[None]


class GroupCommit:
    """Appends to ``spool`` in ``executor`` (of one thread, which alone touches the spool), one batch at a time.

    ``on_kept`` is called when there is more on disk. A disk that does not answer within ``wait_seconds`` fails
    everybody who waits, and whoever comes until it does.
    """

    def __init__(
        self,
        spool: Spool,
        executor: Executor,
        on_kept: Callable[[], None],
        *,
        wait_seconds: float,
        most_waiting: int,
    ) -> None:
        self._spool = spool
        self._executor = executor
        self._on_kept = on_kept
        self._wait_seconds = wait_seconds
        self._most_waiting = most_waiting
        self._loop = asyncio.get_running_loop()
        self._waiting: list[Entry] = []
        self._known: set[asyncio.Future[None]] = set()
        self._writing: asyncio.Future[int] | None = None
        self._logged_at = -QUIET_SECONDS
        self.is_stuck = False

    def put(self, record: SentRecord, future: asyncio.Future[None]) -> None:
        """See to it that ``future`` is done once the record is on disk, or fails with Unavailable.

        Giving the same future again changes nothing. Raises Unavailable where nothing can wait any more.
        """
        if future.done() or future in self._known:
            return
        if self.is_stuck:
            raise Unavailable("the disk does not answer")
        if len(self._known) >= self._most_waiting:
            raise Unavailable("the queue for the disk is full")
        self._known.add(future)
        self._waiting.append(Entry(record, future))
        if self._writing is None:
            self._write()

    async def close(self) -> None:
        """Return once nothing waits any more."""
        while self._writing is not None:
            await asyncio.wait([self._writing])

    def _write(self) -> None:
        batch, self._waiting = self._waiting[:MOST_RECORDS], self._waiting[MOST_RECORDS:]
        records = [entry.record for entry in batch]
        self._writing = self._loop.run_in_executor(self._executor, self._spool.append, records)
        overdue = self._loop.call_later(self._wait_seconds, self._overdue, batch)
        self._writing.add_done_callback(partial(self._written, batch, overdue))

    def _written(
        self, batch: Sequence[Entry], overdue: asyncio.TimerHandle, writing: asyncio.Future[int]
    ) -> None:
        overdue.cancel()
        self.is_stuck = False
        self._writing = None
        failure = writing.exception()
        kept = 0 if failure else writing.result()
        if kept:
            self._on_kept()
        for entry in batch[:kept]:
            self._known.discard(entry.future)
            if not entry.future.done():
                entry.future.set_result(None)
        if kept < len(batch):
            self._fail(batch[kept:], f"the spool failed: {failure}" if failure else "the spool is full")
        if self._waiting:
            self._write()

    def _overdue(self, batch: Sequence[Entry]) -> None:
        self.is_stuck = True
        waiting, self._waiting = self._waiting, []
        self._fail([*batch, *waiting], "the disk does not answer")

    def _fail(self, entries: Sequence[Entry], reason: str) -> None:
        now = self._loop.time()
        if now - self._logged_at >= QUIET_SECONDS:
            self._logged_at = now
            _log.error("%d events are not kept: %s", len(entries), reason)
        for entry in entries:
            self._known.discard(entry.future)
            if not entry.future.done():
                entry.future.set_exception(Unavailable(reason))
                entry.future.exception()
