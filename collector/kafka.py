"""The Kafka producer: idempotent, acknowledged by all in-sync replicas, served from the event loop.

librdkafka sends in threads of its own. Its delivery reports are fetched on the event loop, all that are there
at a time, every millisecond while records are under way: no thread of ours, no wake-up per record.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

import confluent_kafka

from collector.errors import Unavailable
from collector.producer import SentRecord
from collector.settings import CollectorSettings

POLL_SECONDS = 0.001
METADATA_SECONDS = 2.0
_log = logging.getLogger(__name__)


class KafkaProducer:
    """A Producer over confluent-kafka; create and use it on one running event loop.

    A record that is not acknowledged within ``ack_wait_seconds`` fails, and is given up by librdkafka at
    about that time. After a fatal error of the idempotent producer a new one takes its place.
    """

    def __init__(self, settings: CollectorSettings, topics: Sequence[str]) -> None:
        self._config: dict[str, Any] = _configuration(settings)
        self._topics = frozenset(topics)
        self._ack_wait = settings.ack_wait_seconds
        self._loop = asyncio.get_running_loop()
        self._under_way: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._polling = False
        self._client = confluent_kafka.Producer(self._config)

    def send(self, record: SentRecord) -> asyncio.Future[None]:
        """See Producer."""
        future: asyncio.Future[None] = self._loop.create_future()
        try:
            self._client.produce(
                record.topic,
                value=record.value,
                key=record.key,
                timestamp=record.timestamp,
                on_delivery=partial(_delivered, future),
            )
        except BufferError as error:
            raise Unavailable("the queue is full") from error
        except confluent_kafka.KafkaException as error:
            self._replace_if_fatal(error.args[0])
            raise Unavailable(str(error)) from error
        self._under_way.append((self._loop.time() + self._ack_wait, future))
        if not self._polling:
            self._polling = True
            self._loop.call_later(POLL_SECONDS, self._poll)
        return future

    async def ready(self) -> bool:
        """See Producer."""
        try:
            metadata = await self._loop.run_in_executor(
                None, partial(self._client.list_topics, timeout=METADATA_SECONDS)
            )
        except confluent_kafka.KafkaException:
            return False
        return self._topics.issubset(metadata.topics)

    async def close(self) -> None:
        """See Producer."""
        while self._under_way:
            await asyncio.sleep(POLL_SECONDS)
        self._client.purge()
        self._client.poll(0)

    def _poll(self) -> None:
        self._client.poll(0)
        under_way = self._under_way
        now = self._loop.time()
        while under_way and (under_way[0][1].done() or under_way[0][0] <= now):
            _fail(under_way.popleft()[1], "not acknowledged in time")
        self._polling = bool(under_way)
        if self._polling:
            self._loop.call_later(POLL_SECONDS, self._poll)

    def _replace_if_fatal(self, error: confluent_kafka.KafkaError) -> None:
        if not (error.fatal() or error.code() == confluent_kafka.KafkaError._FATAL):
            return
        _log.error("the producer failed for good (%s): starting a new one", error.str())
        self._client.purge()
        self._client.poll(0)
        self._client = confluent_kafka.Producer(self._config)


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
        "error_cb": _on_error,
        "logger": _log,
    }


def _delivered(
    future: asyncio.Future[None], error: confluent_kafka.KafkaError | None, _message: confluent_kafka.Message
) -> None:
    if error is not None:
        _fail(future, error.str())
    elif not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], text: str) -> None:
    if not future.done():
        future.set_exception(Unavailable(text))
        future.exception()


def _on_error(error: confluent_kafka.KafkaError) -> None:
    _log.warning("kafka: %s", error.str())
