"""Embedded ClickHouse servers on both engines, a database of its own for each test that asks for one, and a whole stack for a module's tests."""

import sys
import uuid
from collections.abc import Iterator

import pytest

from deploy.embedded.clickhouse import ClickHouseServer
from deploy.settings import clickhouse_settings
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.migrate import apply_migrations
from sinks.clickhouse.settings import ClickHouseSettings
from tests.contract.conftest import python_248
from tests.support import MakeBroker, Running

__all__ = ["python_248"]

ENGINES = ["engine-26.9", "engine-24.8"]


@pytest.fixture(scope="session", params=ENGINES)
def clickhouse_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClickHouseServer]:
    """A server for all tests of the session, one per engine."""
    python = sys.executable if request.param == ENGINES[0] else request.getfixturevalue("python_248")
    with ClickHouseServer(tmp_path_factory.mktemp(request.param) / "data", python=python) as server:
        yield server


@pytest.fixture
def clickhouse(clickhouse_server: ClickHouseServer) -> ClickHouseSettings:
    """Settings of a database that does not exist yet."""
    return _settings(clickhouse_server, f"test_{uuid.uuid4().hex}")


@pytest.fixture
def migrated(clickhouse: ClickHouseSettings) -> Iterator[Connection]:
    """A connection to a new database with all migrations applied; it is dropped afterwards."""
    connection = connect(clickhouse)
    apply_migrations(connection, clickhouse)
    yield connection
    connection.execute(f"DROP DATABASE `{clickhouse.database}`")
    connection.close()


@pytest.fixture(scope="session")
def _shared(clickhouse_server: ClickHouseServer) -> ClickHouseSettings:
    settings = _settings(clickhouse_server, "shared")
    connection = connect(settings)
    apply_migrations(connection, settings)
    connection.close()
    return settings


@pytest.fixture
def emptied(_shared: ClickHouseSettings) -> Iterator[Connection]:
    """A connection to a database whose tables are empty. All tests of an engine share it: a new one takes a second."""
    connection = connect(_shared)
    yield connection
    for table in ("owners", "journal", *(rollup.table for rollup in ROLLUPS)):
        connection.execute(f"TRUNCATE TABLE {table}")
    connection.close()


def _settings(server: ClickHouseServer, database: str) -> ClickHouseSettings:
    return ClickHouseSettings(host=server.host, port=server.port, database=database)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, make_broker: MakeBroker) -> Iterator[Running]:
    """Broker and ClickHouse with topics and tables, and a worker."""
    one = Running(tmp_path_factory.mktemp("stack") / "stack", make_broker)
    try:
        one.start()
        one.stack.start_worker()
        yield one
    finally:
        one.stack.stop()


@pytest.fixture
def journal(running: Running) -> Iterator[Connection]:
    """A connection to the ClickHouse of ``running``."""
    connection = connect(clickhouse_settings(running.values))
    yield connection
    connection.close()
