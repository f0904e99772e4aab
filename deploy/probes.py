"""What a worker serves over HTTP: /metrics for Prometheus, /livez and /readyz for whoever restarts it or waits for it."""

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from socketserver import ThreadingMixIn
from threading import Thread
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from streams.health import Health

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: probes come every few seconds."""


@contextmanager
def served(host: str, port: int, registry: CollectorRegistry, health: Health) -> Iterator[None]:
    """Serve meanwhile. Raises OSError where the port cannot be bound."""
    server_class = _Server6 if ":" in host else _Server
    server = make_server(host, port, _application(registry, health), server_class, _Silent)
    thread = Thread(target=server.serve_forever, name="probes", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _application(registry: CollectorRegistry, health: Health) -> "WSGIApplication":
    metrics = make_wsgi_app(registry)
    probes = {"/livez": health.not_alive, "/readyz": health.not_ready}

    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        probe = probes.get(environ.get("PATH_INFO", ""))
        if probe is None:
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        wrong = probe(time.monotonic())
        status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
        start_response(f"{status.value} {status.phrase}", [("Content-Type", "text/plain; charset=utf-8")])
        return ["".join(f"{line}\n" for line in wrong or ["ok"]).encode()]

    return application
