"""A Schema Registry's HTTP interface over the checked-in registry, as far as Confluent's serializers ask for it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from schemas.registry import SUBJECT_SUFFIX, RegisteredSchema, registered_schemas

SCHEMA_NOT_FOUND = 40403


class Registry(ThreadingHTTPServer):
    """Read-only: registering a schema that is there already answers with its id, as a registry does; no other is taken.

    ``asked`` are the method and path of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serve_registry() -> Iterator[Registry]:
    """Serve the registry on a free port."""
    with Registry() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def find(subject: str, text: str) -> RegisteredSchema | None:
    """Return what is registered under ``subject`` with the schema ``text``, whatever its white space."""
    try:
        wanted = json.loads(text)
    except ValueError:
        return None
    versions = (entry for entry in registered_schemas() if entry.topic + SUBJECT_SUFFIX == subject)
    return next((entry for entry in versions if entry.parsed == wanted), None)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_GET(self) -> None:
        """Nothing can be read but by its text; above all, no topic is associated with another subject than its own."""
        self.server.asked.append(f"GET {urlsplit(self.path).path}")
        self._answer(HTTPStatus.NOT_FOUND, {"error_code": HTTPStatus.NOT_FOUND, "message": "Not found"})

    def do_POST(self) -> None:
        """Look a schema up (``/subjects/S``) or register it (``/subjects/S/versions``)."""
        path = urlsplit(self.path).path
        self.server.asked.append(f"POST {path}")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        match [unquote(part) for part in path.strip("/").split("/")]:
            case ["subjects", subject] | ["subjects", subject, "versions"]:
                entry = find(subject, body["schema"])
            case _:
                entry = None
        if entry is None:
            missing = {"error_code": SCHEMA_NOT_FOUND, "message": "Schema not found"}
            self._answer(HTTPStatus.NOT_FOUND, missing)
        else:
            found = {"subject": subject, "version": entry.version, "id": entry.id, "schema": entry.text}
            self._answer(HTTPStatus.OK, found)

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Be quiet."""
