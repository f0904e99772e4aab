"""The listening side: a thread per connection, one that watches the clients of running statements."""

import fcntl
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.embedded.clickhouse import answers, kernels
from deploy.embedded.clickhouse.access.guard import Guard
from deploy.embedded.clickhouse.access.users import READER, User, Users
from deploy.embedded.clickhouse.engine import Engine
from deploy.embedded.clickhouse.metrics import make_metrics
from deploy.embedded.clickhouse.registry import Registry, Running
from deploy.embedded.clickhouse.room import Room, floor_bytes
from deploy.embedded.clickhouse.session import House, Session
from deploy.embedded.clickhouse.spill import clear_spill

if TYPE_CHECKING:
    from deploy.embedded.clickhouse.http.server import HttpServer

WATCH_SECONDS = 0.1
GRACE_SECONDS = 10.0
LOCK_NAME = ".front.lock"
log = logging.getLogger(__name__)


class InUse(Exception):
    """Another process has this data path. `owner` is its process id as text."""

    def __init__(self, path: Path, owner: str) -> None:
        self.path = path
        self.owner = owner
        super().__init__(f"the data path {path} is in use by process {owner or '(unknown)'}")


def lock(path: Path) -> int:
    """Take the data path for this process, for as long as the returned descriptor is open. Raises InUse."""
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(descriptor, 32, 0).decode().strip()
        os.close(descriptor)
        raise InUse(path, owner) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


class Unsupported(Exception):
    """This engine cannot do what the options ask for."""


@dataclass(frozen=True, slots=True)
class Options:
    """Where to serve what for whom. `http_port` None: no HTTP; 0 picks a free port. `reader`: the reader's password."""

    path: Path
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    http_port: int | None = None
    reader: str = field(default="", repr=False)

    def users(self) -> Users:
        """The owner, and the reader where there is one."""
        reader = [User(READER, self.reader, reads_only=True)] if self.reader else []
        return Users([User(self.user, self.password), *reader])


class Server:
    """Serves one data path on one address, or two with HTTP, until `stop`. Raises InUse, OSError, Unsupported."""

    def __init__(self, options: Options) -> None:
        path = options.path
        self.metrics, self.registry = make_metrics()
        self._lock = lock(path)
        spill = clear_spill(path)
        kernels.warm()
        engine = Engine(path, floor_bytes(path))
        self._room = Room(path, engine)
        self._room.look()
        if not engine.isolated and (options.reader or options.http_port is not None):
            raise Unsupported("HTTP and the reader need an engine whose connections are isolated (chDB 4)")
        self._house = House(engine, Registry(), self.metrics, spill, options.users(), Guard(READER))
        self._listener = socket.create_server((options.host, options.port), backlog=128)
        self.http: HttpServer | None = None
        if options.http_port is not None:
            # Imported only here: the environments of older engines have no HTTP server.
            from deploy.embedded.clickhouse.http import server as http

            self.http = http.HttpServer(self._house, options.host, options.http_port)
            self.http.start()
        self._links: set[socket.socket] = set()
        self._links_lock = threading.Lock()
        self._stopping = threading.Event()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._listener.getsockname()[:2]
        return str(host), int(port)

    @property
    def engine_version(self) -> str:
        return ".".join(map(str, self._house.engine.version))

    def run(self) -> None:
        """Accept and serve connections until `stop` is called from another thread or a signal handler."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        while not self._stopping.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                break
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()
        self._end()

    def stop(self) -> None:
        """Accept no more connections; `run` then ends the server."""
        self._stopping.set()
        with suppress(OSError):
            # Wakes up accept(), which closing alone does not.
            self._listener.shutdown(socket.SHUT_RDWR)

    def _serve(self, link: socket.socket) -> None:
        with link:
            with self._links_lock:
                self._links.add(link)
            self.metrics.connections.inc()
            try:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                Session(self._house, link).serve()
            except Exception:
                log.exception("a session ended by an error of ours")
            finally:
                self.metrics.connections.dec()
                with self._links_lock:
                    self._links.discard(link)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            try:
                self._room.look()
                self._look_after(self._house.registry.snapshot())
                if self.http:
                    self.http.sessions.sweep(time.monotonic())
            except Exception:
                log.exception("could not look after the running statements; trying again")

    def _look_after(self, statements: list[Running]) -> None:
        """Stop reading statements whose client has cancelled them or gone away; see that killed ones end."""
        engine = self._house.engine
        for running in statements:
            if running.stoppable and not running.killed and (did := running.client_did()):
                running.cancelled = did == "cancel"
                answers.stop([running], engine, self._house.registry)
        # Again and again: one may have been too young for the engine to know it.
        answers.interrupt([running for running in statements if running.killed], engine)

    def _end(self) -> None:
        """Let running statements finish (for a while), part from the clients, close the engine."""
        self._listener.close()
        if self.http:
            self.http.shut()
        if not self._house.registry.wait_empty(GRACE_SECONDS):
            answers.stop(self._house.registry.snapshot(), self._house.engine, self._house.registry)
        with self._links_lock:
            links = list(self._links)
        for link in links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self._house.registry.wait_empty(GRACE_SECONDS)
        if self.http:
            self.http.stop()
        self._house.engine.close()
