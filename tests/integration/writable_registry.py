"""A Schema Registry's HTTP interface that takes schemas and gives ids of its own, as far as funnel asks for it."""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote

FIRST_ID = 70_001
USER, PASSWORD = "funnel", "s3cret: of the registry"


@dataclass
class Content:
    """What is registered. ``away``: every request is answered 503; ``taken``: whether schemas are taken."""

    schemas: dict[int, tuple[str, Any]] = field(default_factory=dict)
    extra: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    away: bool = False
    taken: bool = True
    lock: Lock = field(default_factory=Lock)

    def add(self, subject: str, schema: Mapping[str, Any], **extra: Any) -> int:
        """Register a schema and return its id; ``extra`` is answered beside it."""
        with self.lock:
            known = self.find(subject, schema)
            number = FIRST_ID + len(self.schemas) if known is None else known
            self.schemas[number] = subject, dict(schema)
            self.extra[number] = extra
            return number

    def find(self, subject: str, schema: Any) -> int | None:
        """Return the id of a schema under a subject."""
        return next((number for number, one in self.schemas.items() if one == (subject, schema)), None)


class WritableRegistry(ThreadingHTTPServer):
    """Asks for USER and PASSWORD."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = Content()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve_writable_registry() -> Iterator[WritableRegistry]:
    """Serve an empty registry on a free port."""
    with WritableRegistry() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


_NONE = (HTTPStatus.NOT_FOUND, {"error_code": 40403, "message": "Schema not found"})
_EXPECTED = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WritableRegistry

    def do_GET(self) -> None:
        """``/schemas/ids/N`` and ``/schemas/ids/N/versions``."""
        content = self.server.content
        parts = self.path.strip("/").split("/")
        number = int(parts[2])
        if number not in content.schemas:
            return self._answer(*_NONE)
        subject, schema = content.schemas[number]
        if parts[3:] == ["versions"]:
            return self._answer(HTTPStatus.OK, [{"subject": subject, "version": 1}])
        return self._answer(HTTPStatus.OK, {"schema": json.dumps(schema), **content.extra[number]})

    def do_POST(self) -> None:
        """Look a schema up, or register it."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        parts = [unquote(part) for part in self.path.strip("/").split("/")]
        content, schema = self.server.content, json.loads(body["schema"])
        number = content.find(parts[1], schema)
        if number is None and parts[2:] == ["versions"]:
            if not content.taken:
                return self._answer(HTTPStatus.CONFLICT, {"error_code": 409, "message": "incompatible"})
            number = content.add(parts[1], schema)
        return self._answer(*_NONE) if number is None else self._answer(HTTPStatus.OK, {"id": number})

    def _answer(self, status: HTTPStatus, content: Any) -> None:
        self.server.content.asked.append(f"{self.command} {self.path}")
        if self.server.content.away:
            status, content = HTTPStatus.SERVICE_UNAVAILABLE, {"error_code": 50003, "message": "away"}
        elif self.headers["Authorization"] != _EXPECTED:
            status, content = HTTPStatus.UNAUTHORIZED, {"error_code": 401, "message": "Unauthorized"}
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""
