"""From the disk to Kafka: in the order of the segments, a part at a time, each segment deleted when the broker has all of it.

Sent is at least once: a part whose acknowledgement was lost, or not noted before a crash, is sent again under the
same event ids and record times, and is a duplicate downstream.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from collector.errors import Unavailable, Undeliverable
from collector.producer import LossyProducer, SentRecord
from collector.spool.segment import Kept, Segment
from collector.spool.spool import Spool

PART_RECORDS = 500
RETRY_SECONDS = 0.5
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Drain:
    """Empties ``spool`` into ``kafka`` whenever there is something, with the spool's own thread as ``executor``.

    ``broker_is_back`` is called each time the broker has acknowledged something, or is ready and nothing is left.
    """

    def __init__(
        self, spool: Spool, kafka: LossyProducer, executor: Executor, broker_is_back: Callable[[], None]
    ) -> None:
        self._spool = spool
        self._kafka = kafka
        self._executor = executor
        self._broker_is_back = broker_is_back
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._stopping = False
        self._task = self._loop.create_task(self._run())

    def want(self) -> None:
        """Drain as soon as the broker takes something."""
        self._wanted.set()

    async def stop(self) -> None:
        """Return when the part under way is acknowledged or given up; the rest stays on disk."""
        self._stopping = True
        self._wanted.set()
        await self._task

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            if self._stopping:
                return
            try:
                is_empty = await self._pass()
            except Exception:
                # What is on disk must get out whatever goes wrong with one attempt.
                is_empty = False
                _log.exception("draining the spool failed, trying again")
            if not is_empty and not self._stopping:
                await asyncio.sleep(RETRY_SECONDS)

    async def _pass(self) -> bool:
        """Drain as long as the broker is ready; whether nothing is left."""
        while await self._kafka.ready() and not self._stopping:
            self._wanted.clear()
            oldest = await self._on_disk(self._spool.read_oldest)
            if oldest is None:
                self._broker_is_back()
                return True
            self._wanted.set()
            await self._empty(*oldest)
        return False

    async def _empty(self, segment: Segment, left: Sequence[Kept]) -> None:
        for start in range(0, len(left), PART_RECORDS):
            part = left[start : start + PART_RECORDS]
            records = [kept.record for kept in part]
            while records := await self._attempt(segment, records):
                if self._stopping:
                    return
                await asyncio.sleep(RETRY_SECONDS)
            await self._on_disk(partial(self._spool.drained, segment, part))
            if self._stopping:
                return
        await self._on_disk(partial(self._spool.finish, segment))

    async def _attempt(self, segment: Segment, records: Sequence[SentRecord]) -> list[SentRecord]:
        """Send records together; return those that have to be sent again."""
        failures = await self._send(records)
        if not all(failures):
            self._broker_is_back()
        lost = [record for record, failure in zip(records, failures, strict=True) if failure]
        if any(isinstance(failure, Undeliverable) for failure in failures):
            return await self._one_by_one(segment, lost)
        return lost

    async def _one_by_one(self, segment: Segment, records: Sequence[SentRecord]) -> list[SentRecord]:
        """Send records alone, because one that Kafka refuses takes its batch with it; return those to send again."""
        again = []
        for record in records:
            (failure,) = await self._send([record])
            if isinstance(failure, Undeliverable):
                _log.error("Kafka refuses a record of the spool: %s", failure)
                await self._on_disk(partial(self._spool.refused, segment))
            elif failure:
                again.append(record)
        return again

    async def _send(self, records: Sequence[SentRecord]) -> list[BaseException | None]:
        """Send records; return what each failed with."""
        return await asyncio.gather(*map(self._sent, records), return_exceptions=True)

    def _sent(self, record: SentRecord) -> asyncio.Future[None]:
        try:
            return self._kafka.send(record)
        except Unavailable as error:
            failed: asyncio.Future[None] = self._loop.create_future()
            failed.set_exception(error)
            return failed

    async def _on_disk(self, work: Callable[[], _T]) -> _T:
        return await self._loop.run_in_executor(self._executor, work)
