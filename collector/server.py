"""The collector as a process: granian around the application, the producer behind it, metrics beside it."""

import asyncio
import gc
import logging
import signal
import socket
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.http import HTTP1Settings, HTTP2Settings
from granian.server.embed import Server
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from collector.app import App, create_app
from collector.kafka import KafkaProducer
from collector.producer import Producer
from collector.quiet import Sampled
from collector.registered import RegisteredProducer
from collector.settings import CollectorSettings
from collector.spool.producer import SpoolingProducer, open_spool
from schemas.metrics import CollectorMetrics, SpoolMetrics
from schemas.remote import registered
from schemas.topics import EVENT_TOPICS, LINKS, POSTBACKS

CONNECTIONS = 4096
HEAD_BYTES = 1 << 16
"""Of a request's head; the longest URL that is taken has 4 KiB, its encoding at most three times that."""
GARBAGE_THRESHOLD = 20_000
SENT = (*EVENT_TOPICS, POSTBACKS, LINKS)
"""The topics that a collector writes."""
_log = logging.getLogger(__name__)


def run(settings: CollectorSettings) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way and return.

    Raises OSError naming the address where a port cannot be bound, SpoolError. The broker may be away: without a spool
    requests get 503 until it is there.
    """
    on_event_loop(_serve(settings))


def on_event_loop(serving: Coroutine[Any, Any, None]) -> None:
    """Run ``serving`` to its end on the event loop that the collector uses."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serving)


def now_ms() -> int:
    """Return the time in ms UTC."""
    return time.time_ns() // 1_000_000


async def _serve(settings: CollectorSettings) -> None:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    topics = [settings.topic_prefix + topic for topic in SENT]
    producer = await _with_registry(settings, make_producer(settings, topics, registry))
    app = create_app(settings, producer, CollectorMetrics.create(registry), now_ms)
    logging.getLogger("collector.app").addFilter(Sampled())
    # What is there by now stays, and requests make no cycles: the garbage collector need not look so often.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    with _metrics_endpoint(settings, registry):
        await serve_app(app, settings.host, settings.port, settings.read_seconds, _transport(settings))
        await asyncio.wait_for(producer.close(), settings.drain_seconds)


def make_producer(
    settings: CollectorSettings, topics: Sequence[str], registry: CollectorRegistry
) -> Producer:
    """Return the producer over Kafka, with a spool behind it where the settings name one. Raises SpoolError."""
    if not settings.spool_dir:
        return KafkaProducer(settings, topics)
    metrics = SpoolMetrics.create(registry)
    spool = open_spool(settings, metrics)
    return SpoolingProducer(KafkaProducer(settings, topics), spool, settings, metrics, now_ms)


async def _with_registry(settings: CollectorSettings, producer: Producer) -> Producer:
    """Return ``producer``, or one that frames under a Schema Registry's ids; waits while the registry is away. Raises RegistryRefused."""
    if not settings.registry.url:
        return producer
    ids = await asyncio.to_thread(registered, settings.registry, SENT)
    return RegisteredProducer(producer, {settings.topic_prefix + topic: ids[topic] for topic in ids})


class Transport(NamedTuple):
    """Below the requests: whether HTTP/2 is spoken, too; for TLS the PEM files of a certificate chain and its private key."""

    http2: bool = False
    chain: Path | None = None
    key: Path | None = None


_PLAIN = Transport()


def _transport(settings: CollectorSettings) -> Transport:
    if not settings.tls_cert:
        return Transport(settings.http2)
    return Transport(settings.http2, Path(settings.tls_cert), Path(settings.tls_key))


async def serve_app(
    app: App, host: str, port: int, read_seconds: float = 10.0, transport: Transport = _PLAIN
) -> None:
    """Serve ``app`` over HTTP/1.1 on this event loop until SIGTERM or SIGINT; requests under way are answered first. TLS is 1.2 or newer."""
    _check_address(host, port)
    head_ms = round(read_seconds * 1000)
    server = Server(
        app,
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        # Told apart by its first bytes: nothing ends a connection on which none ever come.
        http=HTTPModes.auto if transport.http2 else HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=head_ms, max_buffer_size=HEAD_BYTES),
        http2_settings=HTTP2Settings(max_headers_size=HEAD_BYTES, keep_alive_interval=head_ms),
        ssl_cert=transport.chain,
        ssl_key=transport.key,
        ssl_protocol_min=SSLProtocols.tls12,
        websockets=False,
        backlog=CONNECTIONS,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


@contextmanager
def _metrics_endpoint(settings: CollectorSettings, registry: CollectorRegistry) -> Iterator[None]:
    if not settings.metrics_port:
        yield
        return
    _check_address(settings.metrics_host, settings.metrics_port)
    endpoint, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    try:
        yield
    finally:
        endpoint.shutdown()
        endpoint.server_close()
        thread.join()


def _check_address(host: str, port: int) -> None:
    """Say beforehand what granian would say with a stack trace of its own and without the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
