"""Faust's aiokafka transport with record batches as messages.

One Faust message is all that one fetch brought of one partition, as a `RawBatch`. What is taken next is decided by `streams.intake`;
where reading starts is decided by the journal's fences (``positions``), never by committed offsets, which are written after each flush
as a courtesy to lag monitors. aiokafka's private names used here are those of the pinned version.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar

import aiokafka
import numpy as np
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from schemas.topics import TOPICS
from streams.errors import OutsideLogError
from streams.intake import Alignment, Buffer, Holds, due
from streams.settings import WorkerSettings
from streams.steps.batch import RawBatch, joined, split_at
from streams.unit import Line

Positions = Callable[[Mapping[Line, tuple[int, int]]], Awaitable[Mapping[Line, int]]]
"""Takes the assigned lines with the log's first and next offset of each, makes the worker their owner, and returns the next offset
to read of each."""

STAY_IN_GROUP_SECONDS = 7 * 24 * 3600.0
REJOIN_SECONDS = 10.0
"""What a rebalance may take beside letting go of partitions."""
BUFFERED_RECORDS = 1 << 13
"""Of one partition; it is not fetched from while so many of its records wait."""
_NO_TIMES = np.empty(0, dtype=np.int64)


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """Fetches in its own thread and hands out one `RawBatch` per partition and fetch."""

    def __init__(self, *args: Any, settings: WorkerSettings, **kwargs: Any) -> None:
        self.settings = settings
        self.alignment = Alignment(settings.align_slack_ms, settings.align_hold_ms)
        self.holds = Holds()
        self.reached: dict[Any, int] = {}
        self.pending: dict[Any, RawBatch] = {}
        self.placed: Any = None
        super().__init__(*args, **kwargs)

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        """Our own settings: Faust fixes ``fetch_max_wait_ms`` at 1500, at which idle partitions hold up busy ones."""
        settings = self.settings
        return aiokafka.AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap,
            client_id=f"{settings.group}-worker",
            group_id=settings.group,
            # Same-numbered partitions of all topics to one worker: ranges of equally many partitions coincide.
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="none",
            # How long added partitions may stay unread.
            metadata_max_age_ms=5_000,
            max_poll_interval_ms=int(STAY_IN_GROUP_SECONDS * 1000),
            max_partition_fetch_bytes=settings.fetch_bytes,
            # Little at a time: intake is aligned, so the first records of every partition are wanted before many of one.
            fetch_max_bytes=settings.fetch_bytes,
            fetch_max_wait_ms=settings.fetch_wait_ms,
            # A broker answers at once or after the wait: asked for a single byte, it would for every few records.
            fetch_min_bytes=settings.fetch_min_bytes,
            check_crcs=True,
            session_timeout_ms=int(settings.session_timeout_seconds * 1000),
            heartbeat_interval_ms=int(settings.session_timeout_seconds * 1000 / 4),
            # Longer than letting go may take: who is late is no member any more, and has to join again.
            rebalance_timeout_ms=int((settings.stop_seconds + REJOIN_SECONDS) * 1000),
            isolation_level="read_committed",
        )

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        """Return ``{tp: [RawBatch]}`` of what may be taken now, waiting up to ``timeout`` seconds for it."""
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        deadline = time.monotonic() + (timeout or 0)
        while True:
            if consumer._closed or fetcher._closed:
                raise ConsumerStoppedError
            if fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()
            with fetcher._subscriptions.fetch_context():
                taken = self._take(consumer, active_partitions)
            if taken or time.monotonic() >= deadline or not self.consumer.flow_active:
                return taken
            await self._wait_for_fetch(fetcher, deadline - time.monotonic())

    async def _wait_for_fetch(self, fetcher: Any, seconds: float) -> None:
        if self.pending:
            # Something is held back: look again soon, whether or not more arrives.
            seconds = min(seconds, 0.02)
        waiter = fetcher._create_fetch_waiter()
        done, pending = await asyncio.wait([waiter], timeout=max(seconds, 0.001))
        for future in pending:
            future.cancel()
        for future in done:
            future.result()

    def _take(self, consumer: Any, active: Any) -> dict[Any, list[RawBatch]]:
        """Move what was fetched into columns, and hand out what is due of it: of each partition the records up to the limit."""
        fetcher = consumer._fetcher
        if consumer._subscription.subscription.assignment is not self.placed:
            # Until we say where to read, aiokafka goes by committed offsets, or complains that there are none: neither concerns us.
            return {}
        self._raise_errors(fetcher)
        assigned = consumer.assignment()
        for tp in list(fetcher._records):
            if tp not in assigned:
                del fetcher._records[tp]
            else:
                self._drain(fetcher, tp)
        # Touches first: wherever a flush is cut, none of its conversions has left its touches behind.
        ordered = sorted(assigned, key=lambda tp: (TOPICS.index(tp.topic), tp.partition))
        buffers = {tp: self._buffer(consumer, tp) for tp in ordered}
        counts = due(
            buffers, self.alignment, self.holds, time.monotonic() * 1000, self.settings.flush_rows // 2
        )
        taken = {tp: [self._cut(tp, count)] for tp, count in counts.items() if not active or tp in active}
        for tp in assigned:
            self._regulate(consumer, tp)
        return taken

    def _regulate(self, consumer: Any, tp: Any) -> None:
        """Fetch no more of a partition while enough of it is buffered: what is held back must not use up memory.

        Left in the fetcher instead, it would stop the fetches of every other partition of its broker.
        """
        state = consumer._subscription.subscription.assignment.state_value(tp)
        pending = self.pending.get(tp)
        if pending is not None and len(pending) >= BUFFERED_RECORDS:
            state.pause()
        else:
            state.resume()

    def _cut(self, tp: Any, count: int) -> RawBatch:
        """Take the first ``count`` buffered records of ``tp``; the rest waits."""
        taken, rest = split_at(self.pending.pop(tp), count)
        if rest is not None:
            self.pending[tp] = rest
        self.reached[tp] = int(taken.record_time[-1])
        return taken

    @staticmethod
    def _raise_errors(fetcher: Any) -> None:
        for tp, result in list(fetcher._records.items()):
            if not isinstance(result, FetchResult):
                del fetcher._records[tp]
                fetcher._notify(fetcher._wait_consume_future)
                try:
                    result.check_raise()
                except OffsetOutOfRangeError as error:
                    raise OutsideLogError(tp.topic, tp.partition, error.args[0][tp]) from error

    def _buffer(self, consumer: Any, tp: Any) -> Buffer:
        highwater = consumer.highwater(tp)
        state = consumer._subscription.subscription.assignment.state_value(tp)
        position = state.position if state is not None and state.has_valid_position else None
        behind = highwater is None or position is None or position < highwater
        pending = self.pending.get(tp)
        return Buffer(_NO_TIMES if pending is None else pending.record_time, self.reached.get(tp, 0), behind)

    def _drain(self, fetcher: Any, tp: Any) -> None:
        """Buffer everything fetched of ``tp`` as columns, without a record object per message."""
        result = fetcher._records.pop(tp)
        fetcher._notify(fetcher._wait_consume_future)
        if not result.check_assignment(tp) or not result.has_more():
            return
        batch = _columns(tp, result._partition_records)
        result._update_position()
        if batch is not None:
            self.pending[tp] = joined([self.pending[tp], batch]) if tp in self.pending else batch

    def forget(self, partitions: Iterable[Any]) -> None:
        """Forget what is buffered of ``partitions`` and how far they had been read: they are read from elsewhere now."""
        for tp in partitions:
            self.reached.pop(tp, None)
            self.pending.pop(tp, None)
            self.holds.since.pop(tp, None)


def _columns(tp: Any, records: Any) -> RawBatch | None:
    """Return all records of a fetch as columns, None if it has none (control batches only)."""
    offsets, times, keys, values = [], [], [], []
    # Raw records instead of a ConsumerRecord each; everything else of the iteration (CRC, transactions) stays aiokafka's.
    records._consumer_record = lambda _tp, record: record
    # A loop over records: aiokafka's parser has no columnar form.
    for record in records:
        offsets.append(record.offset)
        times.append(record.timestamp)
        keys.append(record.key)
        values.append(record.value)
    n = len(offsets)
    if not n:
        return None
    return RawBatch(
        topic=tp.topic,
        partition=np.full(n, tp.partition, dtype=np.int32),
        offset=np.array(offsets, dtype=np.int64),
        record_time=np.array(times, dtype=np.int64),
        value=values,
        key=keys,
    )


class BatchConsumer(driver.Consumer):
    """Faust's consumer without its per-message bookkeeping.

    Faust's acknowledgements and gaps can commit past work in flight, so none of it is used: `commit_flushed` is called with what a flush
    has covered, one sequential line per partition.
    """

    settings: ClassVar[WorkerSettings]
    positions: ClassVar[Positions]
    drain: ClassVar[Callable[[], Awaitable[None]]]

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, settings=type(self).settings, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        """Wrap a `RawBatch` as one message, whose offset is that of its last record."""
        return ConsumerMessage(
            record.topic,
            tp.partition,
            int(record.offset[-1]),
            int(record.record_time[-1]) / 1000.0,
            0,
            [],
            None,
            record,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the fences and return them. Faust calls this at every rebalance, and again whenever its flow was stopped."""
        assigned = self.assignment()
        if not assigned:
            return {}
        assignment = self._inner._subscription.subscription.assignment
        starts, ends = await self.earliest_offsets(*assigned), await self.highwaters(*assigned)
        bounds = {(tp.topic, tp.partition): (int(starts[tp]), int(ends[tp])) for tp in assigned}
        wanted = await type(self).positions(bounds)
        offsets = {tp: wanted[tp.topic, tp.partition] for tp in assigned}
        thread: Any = self._thread
        thread.forget(assigned)
        await thread.seek_wait(offsets)
        thread.placed = assignment
        return offsets

    async def perform_seek(self) -> None:
        """Seek to the fences; what Faust thinks was read before them is void."""
        self._read_offset.update(dict.fromkeys(await self.seek_to_committed()))

    def track_message(self, message: Any) -> None:
        """Do nothing: a message is done when the flush that covers it has landed."""

    def ack(self, message: Any) -> bool:
        """Do nothing: see `track_message`."""
        message.acked = True
        return False

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: gaps in a log (transactions, compaction) are covered by flush rows."""

    async def wait_empty(self) -> None:
        """Wait until what was taken has been flushed or given up."""
        await type(self).drain()

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Do nothing: see `commit_flushed`."""
        return False

    async def commit_flushed(self, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit the next offset to read per (topic, partition), for lag monitors. A failure is of no consequence."""
        owned = self.assignment()
        mine = {tp: offsets[tp.topic, tp.partition] for tp in owned if (tp.topic, tp.partition) in offsets}
        if not mine:
            return
        thread: Any = self._thread
        try:
            await thread.call_thread(_commit, thread._ensure_consumer(), mine)
        except KafkaError as error:
            self.log.info("commit of courtesy failed: %r", error)

    def high_watermarks(self) -> dict[Line, int]:
        """Return the log's next offset per line, as the newest fetch told; lines without a fetch are missing."""
        thread: Any = self._thread
        known = {(tp.topic, tp.partition): thread.highwater(tp) for tp in self.assignment()}
        return {line: int(highwater) for line, highwater in known.items() if highwater is not None}

    def silent_seconds(self, now: float) -> float:
        """Return for how long no broker has answered a fetch, at ``now`` (seconds since 1970); in standby, 0 while there is a coordinator."""
        inner = self._inner
        if inner is None:
            return math.inf
        assigned = inner.assignment()
        if not assigned:
            return 0.0 if inner._coordinator.coordinator_id is not None else math.inf
        answered = [inner.last_poll_timestamp(tp) or 0 for tp in assigned]
        return max(0.0, now - max(answered) / 1000)

    @property
    def is_member(self) -> bool:
        """Whether it is in its group, with partitions or in standby."""
        inner = self._inner
        return inner is not None and inner._coordinator.generation > 0

    @property
    def _inner(self) -> Any:
        """aiokafka's consumer, None before it is made."""
        thread: Any = self._thread
        return thread._consumer if thread is not None else None

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust would warn of commits it does not make itself."""


async def _commit(consumer: Any, offsets: Mapping[Any, int]) -> None:
    await consumer.commit(
        {aiokafka.TopicPartition(tp.topic, tp.partition): offset for tp, offset in offsets.items()}
    )


class BatchTransport(driver.Transport):
    """Faust's Kafka transport with `BatchConsumer`."""


def batch_transport(
    app: Any, settings: WorkerSettings, positions: Positions, drain: Callable[[], Awaitable[None]]
) -> BatchTransport:
    """Return a transport for ``app`` whose consumer starts where ``positions`` says and waits for ``drain`` before it lets go."""
    consumer = type(
        "WorkerConsumer",
        (BatchConsumer,),
        {"settings": settings, "positions": staticmethod(positions), "drain": staticmethod(drain)},
    )
    transport: type[BatchTransport] = type("WorkerTransport", (BatchTransport,), {"Consumer": consumer})
    return transport(app.conf.broker, app)
