"""The producer that keeps on disk what Kafka does not acknowledge in time.

event ──▶ Kafka ──────────────▶ acknowledged
            │ not within the wait          ▲
            └▶ spool, one fsync ▶ acknowledged ──▶ drained into Kafka later

The first record that Kafka does not acknowledge makes the broker count as away: from then on records go straight
to disk, and nobody waits for the broker. It counts as back when it acknowledges a part of what is drained (or is
ready, and nothing is left), so it is the drain that tries it out, not somebody's request.

From then on new records go straight into Kafka again, past those that are still on disk. No final number depends on
the order of arrival, while going behind them would make every new event as late as the backlog is long, and the
backlog would end only if the disk drained faster than events arrive. What waited keeps its record time.

A record that timed out may reach Kafka all the same. It is then there twice, under one event id and one record
time, and counts once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from collector.errors import Unavailable, Undeliverable
from collector.producer import Keeper, LossyProducer, SentRecord, fail
from collector.settings import CollectorSettings
from collector.spool.commit import GroupCommit
from collector.spool.drain import Drain
from collector.spool.spool import Limits, Spool
from schemas.metrics import SpoolMetrics


def open_spool(settings: CollectorSettings, metrics: SpoolMetrics) -> Spool:
    """Return the spool that the settings name. Blocks while it reads what is there. Raises SpoolError."""
    limits = Limits(settings.spool_max_bytes, settings.spool_segment_bytes)
    return Spool(Path(settings.spool_dir), limits, metrics)


class SpoolingProducer:
    """A Producer over ``kafka`` and ``spool``, both of which it closes. Create and use it on one running event loop.

    ``now`` gives the time in ms UTC. ``metrics`` are kept up to date.
    """

    def __init__(
        self,
        kafka: LossyProducer,
        spool: Spool,
        settings: CollectorSettings,
        metrics: SpoolMetrics,
        now: Callable[[], int],
    ) -> None:
        self._kafka = kafka
        self._spool = spool
        self._wait_seconds = settings.ack_wait_seconds
        self._loop = asyncio.get_running_loop()
        self._is_away = False
        self._disk = ThreadPoolExecutor(1, "spool")
        self._drain = Drain(spool, kafka, self._disk, self._come_back)
        self._commit = GroupCommit(
            spool,
            self._disk,
            self._drain.want,
            wait_seconds=settings.ack_wait_seconds,
            most_waiting=settings.queue_messages,
        )
        # Bound once: every record is sent with it.
        self._on_lost = self._lost
        self._drain.want()
        self._show(metrics, now)

    def send(self, record: SentRecord) -> asyncio.Future[None]:
        """See Producer."""
        if not self._is_away:
            try:
                return self._kafka.send(record, self._on_lost)
            except Undeliverable:
                raise
            except Unavailable:
                self._go_away()
        future: asyncio.Future[None] = self._loop.create_future()
        self._commit.put(record, future)
        return future

    async def ready(self) -> Keeper:
        """See Producer. The spool if the broker is not ready and the disk has room."""
        if not self._is_away and await self._kafka.ready():
            return Keeper.BROKER
        if self._commit.is_stuck:
            return Keeper.NOBODY
        room = self._loop.run_in_executor(self._disk, self._spool.has_room)
        try:
            has_room = await asyncio.wait_for(room, self._wait_seconds)
        except TimeoutError:
            return Keeper.NOBODY
        return Keeper.SPOOL if has_room else Keeper.NOBODY

    async def close(self) -> None:
        """See Producer. What is on disk by then is drained by the next process."""
        await asyncio.gather(self._drain.stop(), self._kafka.close())
        await self._commit.close()
        await self._loop.run_in_executor(self._disk, self._spool.close)
        self._disk.shutdown(wait=False)

    def _lost(self, record: SentRecord, future: asyncio.Future[None], failure: Unavailable) -> None:
        if isinstance(failure, Undeliverable):
            return fail(record, future, failure)
        self._go_away()
        try:
            self._commit.put(record, future)
        except Unavailable as error:
            fail(record, future, error)

    def _go_away(self) -> None:
        self._is_away = True
        self._drain.want()

    def _come_back(self) -> None:
        self._is_away = False

    def _show(self, metrics: SpoolMetrics, now: Callable[[], int]) -> None:
        def age_seconds() -> float:
            oldest = self._spool.oldest
            return 0.0 if oldest is None else max(0.0, (now() - oldest) / 1000)

        metrics.in_use.set_function(lambda: self._is_away)
        metrics.records.set_function(lambda: self._spool.records)
        metrics.bytes.set_function(lambda: self._spool.bytes)
        metrics.failing.set_function(lambda: self._spool.failing)
        metrics.age_seconds.set_function(age_seconds)
