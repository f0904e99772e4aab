"""The live page as a process: granian around the application."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from dashboard.app import create_app
from dashboard.reading import Reading, Waiting
from dashboard.settings import DashboardSettings
from schemas.metrics import DashboardMetrics

_log = logging.getLogger(__name__)


def run(settings: DashboardSettings, waiting: Callable[[], Waiting | None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; ``waiting`` tells what waits in Kafka's log. Raises OSError naming the address where it cannot be bound."""
    _check_address(settings.host, settings.port)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    metrics = DashboardMetrics.create(registry)
    with _metrics_endpoint(settings, registry), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, metrics, waiting))


async def _serve(
    settings: DashboardSettings, metrics: DashboardMetrics, waiting: Callable[[], Waiting | None]
) -> None:
    reading, stopping = (
        Reading(settings.clickhouse, waiting=waiting, person_limit=settings.person_limit),
        asyncio.Event(),
    )
    server = Server(
        create_app(settings, reading, stopping, metrics),
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        websockets=False,
        log_enabled=False,
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        loop.call_soon(server.stop)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _log.info("live page: http://%s:%d/", settings.host, settings.port)
    await server.serve()
    reading.close()


@contextmanager
def _metrics_endpoint(settings: DashboardSettings, registry: CollectorRegistry) -> Iterator[None]:
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
