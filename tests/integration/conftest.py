"""Embedded ClickHouse servers on both engines, and a database of its own for each test that asks for one."""

import sys
import uuid
from collections.abc import Iterator

import pytest

from deploy.embedded.clickhouse import ClickHouseServer
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.migrate import apply_migrations
from sinks.clickhouse.settings import ClickHouseSettings
from tests.contract.conftest import python_248

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
    return ClickHouseSettings(
        host=clickhouse_server.host, port=clickhouse_server.port, database=f"test_{uuid.uuid4().hex}"
    )


@pytest.fixture
def migrated(clickhouse: ClickHouseSettings) -> Iterator[Connection]:
    """A connection to a database with all migrations applied; it is dropped afterwards."""
    connection = connect(clickhouse)
    apply_migrations(connection, clickhouse)
    yield connection
    connection.execute(f"DROP DATABASE `{clickhouse.database}`")
    connection.close()
