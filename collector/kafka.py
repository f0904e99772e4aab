"""The Kafka producer: idempotent, acknowledged by all in-sync replicas, served from the event loop.

librdkafka sends in threads of its own. Its delivery reports are fetched on the event loop, all that are there
at a time, every millisecond while records are under way: no thread of ours, no wake-up per record.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import confluent_kafka

from collector.errors import Unavailable, Undeliverable
from collector.producer import Keeper, Lost, SentRecord, fail
from collector.settings import CollectorSettings

POLL_SECONDS = 0.001
METADATA_SECONDS = 2.0
RETRY_SECONDS = 0.5
QUIET_SECONDS = 10.0
STUCK_WAITS = 2
REFUSALS = (
    confluent_kafka.KafkaError.MSG_SIZE_TOO_LARGE,
    confluent_kafka.KafkaError.INVALID_RECORD,
    confluent_kafka.KafkaError.INVALID_TIMESTAMP,
)
"""Errors that say something of the record (or of others in its batch) and nothing of the broker."""
_log = logging.getLogger(__name__)


class KafkaProducer:
    """A LossyProducer over confluent-kafka; create and use it on one running event loop.

    A record that is not acknowledged within ``ack_wait_seconds`` fails, and is given up by librdkafka at
    about that time. After a fatal error of the idempotent producer, and where it gets nothing through
    to a broker that answers (one that has lost its memory), a new one takes its place.
    """

    def __init__(self, settings: CollectorSettings, topics: Sequence[str]) -> None:
        self._config: dict[str, Any] = _configuration(settings)
        self._topics = frozenset(topics)
        self._ack_wait = settings.ack_wait_seconds
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[float, asyncio.Future[None], SentRecord, Lost]] = deque()
        self._polling = False
        self._logged_at = -QUIET_SECONDS
        self._config["error_cb"] = self._on_error
        self._client = confluent_kafka.Producer(self._config)
        self._has_topics = False
        self._failing_since: float | None = None
        self._waiting = self._loop.create_task(self._await_topics())

    def send(self, record: SentRecord, lost: Lost = fail) -> asyncio.Future[None]:
        """See LossyProducer."""
        if not self._has_topics:
            raise Unavailable("the broker or its topics are not there yet")
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            self._client.produce(
                record.topic,
                value=record.value,
                key=record.key,
                timestamp=record.timestamp,
                on_delivery=partial(self._delivered, future, record, lost),
            )
        except BufferError as error:
            raise Unavailable("the queue is full") from error
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() == confluent_kafka.KafkaError._FATAL:
                self._replace(error.args[0].str())
            raise _failure(error.args[0]) from error
        self._under_way.append((self._loop.time() + self._ack_wait, future, record, lost))
        if not self._polling:
            self._polling = True
            self._loop.call_later(POLL_SECONDS, self._poll)
        return future

    async def ready(self) -> Keeper:
        """See Producer."""
        try:
            metadata = await self._loop.run_in_executor(
                None, partial(self._client.list_topics, timeout=METADATA_SECONDS)
            )
        except confluent_kafka.KafkaException:
            return Keeper.NOBODY
        is_ready = self._topics.issubset(metadata.topics)
        self._has_topics |= is_ready
        return Keeper.BROKER if is_ready else Keeper.NOBODY

    async def close(self) -> None:
        """See Producer."""
        self._waiting.cancel()
        while self._under_way:
            await asyncio.sleep(POLL_SECONDS)
        self._client.purge()
        with suppress(confluent_kafka.KafkaException):
            self._client.poll(0)

    async def _await_topics(self) -> None:
        """Open for records once the topics are there; sending may make a missing one, of one partition."""
        while not await self.ready():
            await asyncio.sleep(RETRY_SECONDS)

    def _poll(self) -> None:
        try:
            self._client.poll(0)
        except confluent_kafka.KafkaException as error:
            # Polling must go on whatever it says, or nobody would ever be answered again. What it raises is fatal.
            self._replace(error.args[0].str())
        under_way = self._under_way
        now = self._loop.time()
        while under_way and (under_way[0][1].done() or under_way[0][0] <= now):
            _, future, record, lost = under_way.popleft()
            if not future.done():
                self._failed(now)
                lost(record, future, Unavailable("not acknowledged in time"))
        self._polling = bool(under_way)
        if self._polling:
            self._loop.call_later(POLL_SECONDS, self._poll)

    def _delivered(
        self,
        future: asyncio.Future[None],
        record: SentRecord,
        lost: Lost,
        error: confluent_kafka.KafkaError | None,
        _message: confluent_kafka.Message,
    ) -> None:
        if error is None:
            self._failing_since = None
            if not future.done():
                future.set_result(None)
            return
        self._failed(self._loop.time())
        if not future.done():
            lost(record, future, _failure(error))

    def _failed(self, now: float) -> None:
        if self._failing_since is None:
            self._failing_since = now
        elif now - self._failing_since > STUCK_WAITS * self._ack_wait and self._waiting.done():
            self._failing_since = now
            self._waiting = self._loop.create_task(self._replace_if_stuck())

    async def _replace_if_stuck(self) -> None:
        if await self.ready():
            self._replace("the broker answers, but acknowledges nothing")

    def _replace(self, reason: str) -> None:
        _log.error("the producer failed for good, starting a new one: %s", reason)
        old = [self._client]
        self._client = confluent_kafka.Producer(self._config)
        old[0].purge()
        with suppress(confluent_kafka.KafkaException):
            old[0].poll(0)
        self._loop.run_in_executor(None, old.pop)  # to let go of it is to wait for its threads

    def _on_error(self, error: confluent_kafka.KafkaError) -> None:
        now = self._loop.time()
        if now - self._logged_at >= QUIET_SECONDS:  # one that is away says so many times a second
            self._logged_at = now
            _log.warning("kafka: %s", error.str())


def _configuration(settings: CollectorSettings) -> dict[str, Any]:
    return {
        "bootstrap.servers": settings.bootstrap,
        "client.id": "funnel-collector",
        "enable.idempotence": True,
        "acks": "all",
        "partitioner": "murmur2",
        "linger.ms": settings.linger_ms,
        "message.timeout.ms": max(1, round(settings.ack_wait_seconds * 1000)),
        "queue.buffering.max.messages": settings.queue_messages,
        "compression.type": "none",
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "topic.metadata.propagation.max.ms": 1000,
        "log_level": 2,  # critical only: what else there is to say comes to error_cb
    }


def _failure(error: confluent_kafka.KafkaError) -> Unavailable:
    return Undeliverable(error.str()) if error.code() in REFUSALS else Unavailable(error.str())
