"""The servers that the contract is held against: the embedded front on two engines, and a real server if one is named.

FUNNEL_TEST_CLICKHOUSE   host:port or clickhouse://user:password@host:port of a server that may be written to
FUNNEL_TEST_CLICKHOUSE_HTTP   http://host:port of its HTTP interface; without it that is port 8123 of the same host
FUNNEL_TEST_VENV248      the Python of an environment with chdb 3.0.1 (engine 24.8); without it one is made in .cache
"""

import fcntl
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import pytest
from clickhouse_driver import Client

from deploy.embedded.clickhouse import ClickHouseServer

ROOT = Path(__file__).resolve().parents[2]
REAL = os.environ.get("FUNNEL_TEST_CLICKHOUSE", "")
EMBEDDED = ["embedded-26.9", "embedded-24.8"]
SERVERS = [*EMBEDDED, *(["real"] if REAL else [])]
# The old engine has no connections of their own, which HTTP needs.
HTTP_SERVERS = ["embedded-26.9", *(["real"] if REAL else [])]
PASSWORD = "s3cret; 'quoted' & ünïcode"
READER_PASSWORD = "only; 'to' & read"
OLD_ENGINE = ["chdb==3.0.1", "numba", "lz4", "clickhouse-cityhash", "prometheus-client"]


@dataclass
class Target:
    """A server under test. `embedded` is None for a real one; `interrupts`: running statements can be stopped."""

    host: str
    port: int
    user: str
    password: str
    embedded: ClickHouseServer | None = None
    interrupts: bool = True
    http_url: str = ""
    database: str = "default"
    clients: list[Client] = field(default_factory=list)

    def connect(self, **options: Any) -> Client:
        """A new client in this test's database; closed at the end of the test."""
        arguments = {"user": self.user, "password": self.password, "database": self.database, **options}
        client = Client(self.host, self.port, settings_is_important=True, **arguments)
        self.clients.append(client)
        return client


Connect = Callable[..., Client]


@pytest.fixture(scope="session")
def python_248() -> Path:
    """The Python of an environment with engine 24.8."""
    named = os.environ.get("FUNNEL_TEST_VENV248")
    if named:
        return Path(named)
    folder = ROOT / ".cache" / "venv248"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "venv248.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            make_venv_248(folder)
    return folder / "bin" / "python"


def make_venv_248(folder: Path) -> None:
    """Make the environment with uv, which also finds a Python that the old engine has a build for (3.8 to 3.12)."""
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    assert uv, (
        "uv (in the dev extra) makes the environment for engine 24.8; or name one in FUNNEL_TEST_VENV248"
    )
    version = "3.12" if sys.version_info >= (3, 13) else f"3.{sys.version_info.minor}"
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", version, str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *OLD_ENGINE], check=True)
    (folder / "complete").touch()


@contextmanager
def embedded(name: str, folder: Path, request: pytest.FixtureRequest) -> Iterator[Target]:
    """An embedded server on the engine that `name` asks for."""
    old = name == "embedded-24.8"
    python = request.getfixturevalue("python_248") if old else sys.executable
    options: dict[str, Any] = {} if old else {"http_port": 0, "reader_password": READER_PASSWORD}
    with ClickHouseServer(folder / "data", password=PASSWORD, python=python, **options) as server:
        http_url = "" if old else server.http_url
        yield Target(server.host, server.port, server.user, PASSWORD, server, not old, http_url)


def real() -> Target:
    url = urlparse(REAL if "//" in REAL else f"clickhouse://{REAL}")
    assert url.hostname, f"FUNNEL_TEST_CLICKHOUSE={REAL} names no host"
    target = Target(
        url.hostname, url.port or 9000, unquote(url.username or "default"), unquote(url.password or "")
    )
    target.http_url = os.environ.get("FUNNEL_TEST_CLICKHOUSE_HTTP", f"http://{url.hostname}:8123")
    return target


@contextmanager
def own_database(target: Target) -> Iterator[Target]:
    """Give the test a database of its own on the server."""
    name = f"contract_{uuid.uuid4().hex}"
    with closing_client(target) as client:
        client.execute(f"CREATE DATABASE {name}")
        target.database = name
        try:
            yield target
        finally:
            target.database = "default"
            while target.clients:
                target.clients.pop().disconnect()
    with closing_client(target) as client:
        client.execute(f"DROP DATABASE {name}")


@contextmanager
def closing_client(target: Target) -> Iterator[Client]:
    client = Client(target.host, target.port, user=target.user, password=target.password)
    try:
        yield client
    finally:
        client.disconnect()


@pytest.fixture(scope="session", params=SERVERS)
def any_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    if request.param == "real":
        yield real()
        return
    with embedded(request.param, tmp_path_factory.mktemp(request.param), request) as target:
        yield target


@pytest.fixture
def server(any_server: Target) -> Iterator[Target]:
    """Each server in turn, with a database for this test."""
    with own_database(any_server) as target:
        yield target


@pytest.fixture(scope="session", params=HTTP_SERVERS)
def any_http_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    if request.param == "real":
        yield real()
        return
    with embedded(request.param, tmp_path_factory.mktemp("http"), request) as target:
        yield target


@pytest.fixture
def http_server(any_http_server: Target) -> Iterator[Target]:
    """Each server that speaks HTTP in turn, with a database for this test."""
    with own_database(any_http_server) as target:
        yield target


@pytest.fixture
def connect(server: Target) -> Connect:
    """Makes clients of an unmodified driver."""
    return server.connect


@pytest.fixture(params=[False, "lz4"], ids=["plain", "lz4"])
def client(request: pytest.FixtureRequest, server: Target) -> Client:
    """A client with and without compression."""
    return server.connect(compression=request.param)
