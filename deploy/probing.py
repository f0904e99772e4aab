"""The synthetic probe as a process: its connections, its metrics, its end."""

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, start_http_server

from deploy.probe import Probe
from deploy.settings import clickhouse_settings, probe_settings
from schemas.metrics import ProbeMetrics
from schemas.probe import PROBE_AGENT
from sinks.clickhouse.client import connect


def probe_once(values: Mapping[str, Any]) -> float:
    """Return the seconds that one event took. Raises ProbeFailed."""
    with _probe(values) as probe:
        return probe.once()


def probe_on(values: Mapping[str, Any]) -> None:
    """Probe until SIGTERM or SIGINT, and serve metrics meanwhile. Raises OSError where their port is taken."""
    registry, stop = CollectorRegistry(), Event()
    metrics = ProbeMetrics.create(registry)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    server, thread = start_http_server(values["metrics_port"], values["metrics_host"], registry)
    try:
        with _probe(values) as probe:
            probe.run(metrics, stop)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _probe(values: Mapping[str, Any]) -> Iterator[Probe]:
    settings = probe_settings(values)
    connection = connect(clickhouse_settings(values))
    agent = {"User-Agent": PROBE_AGENT}
    with httpx.Client(headers=agent, timeout=settings.patience_seconds, trust_env=False) as client:
        try:
            yield Probe(settings, client, connection)
        finally:
            connection.close()
