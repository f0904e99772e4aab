"""Commands that change what was journaled long ago, killed in the middle: the same command finishes it, and no number is another one then.

command   ──▶ statement ·········✗ (kill -9)                  the same command ──▶ done
proxy                   held back ·····································▶ arrives: refused, or nothing is there for it
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.broker import Broker
from deploy.settings import clickhouse_settings
from sinks.clickhouse.client import Connection, connect
from tests.integration.test_apply import FIRST, PAYOUT, SECOND, TOUCH, assert_exact, credit_under, work
from tests.proxy import Proxy
from tests.support import ROOT, MakeBroker, Running, funnel

SMALL_STEPS = (
    "import sys, deploy.attribution, streams.applying, deploy.cli; "
    "streams.applying.REQUESTS, deploy.attribution.BLOCK = 40, 10; "
    "sys.argv[0] = 'funnel'; deploy.cli.main()"
)
"""The command line, but for blocks so small that a few hundred conversions take several."""


@pytest.fixture(scope="module")
def make_broker() -> MakeBroker:
    """One kind is enough: no worker runs meanwhile."""
    return Broker


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, make_broker: MakeBroker) -> Iterator[Running]:
    """Conversions of before a version, and of after it; no worker runs."""
    one = Running(tmp_path_factory.mktemp("commands") / "stack", make_broker)
    try:
        one.start()
        credit_under(one, FIRST, TOUCH, PAYOUT)
        work(one, 31, 700)
        credit_under(one, FIRST, TOUCH, PAYOUT, SECOND)
        work(one, 32, 300)
        yield one
    finally:
        one.stack.stop()


@pytest.fixture
def connection(running: Running) -> Iterator[Connection]:
    connection = connect(clickhouse_settings(running.values))
    yield connection
    connection.close()


@pytest.fixture
def proxy(running: Running) -> Iterator[Proxy]:
    """A network between the command and ClickHouse."""
    server = running.stack.clickhouse
    with Proxy((server.host, server.port)) as proxy:
        yield proxy


def kill_at(running: Running, proxy: Proxy, mark: bytes, *arguments: str) -> None:
    """Start a command, hold its statement with ``mark`` back, and kill it there."""
    caught = proxy.catch(mark)
    said = Path(running.stack.directory) / "killed.log"
    with said.open("w") as log:
        command = subprocess.Popen(
            [sys.executable, "-c", SMALL_STEPS, *arguments],
            cwd=ROOT,
            env=running.stack.settings(CLICKHOUSE_PORT=str(proxy.port)),
            stdout=log,
            stderr=log,
        )
        try:
            assert caught.wait(60.0), said.read_text()
        finally:
            command.kill()
            command.wait()


def succeeds(running: Running, *arguments: str) -> None:
    done = funnel(running, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def left_behind(connection: Connection) -> list[str]:
    sql = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%rebuild%'"
    return [name for (name,) in connection.query(sql)]


@pytest.mark.parametrize(
    "mark",
    [
        b"INSERT INTO journal",
        b"INSERT INTO rollup_minute_rebuild",
        b"EXCHANGE TABLES",
        b"INSERT INTO attribution_models",
    ],
)
def test_applying_a_version(running: Running, proxy: Proxy, connection: Connection, mark: bytes) -> None:
    """What it wrote stays, what it had still to write is written by the next one; what arrives after that changes nothing."""
    arguments = ("attribution", "apply", "linear")
    kill_at(running, proxy, mark, *arguments)
    succeeds(running, *arguments)
    assert left_behind(connection) == []
    proxy.mend()
    assert_exact(running)


@pytest.mark.parametrize(
    "mark", [b"CREATE TABLE rollup_day_rebuild", b"INSERT INTO rollup_day_rebuild", b"EXCHANGE TABLES"]
)
def test_rebuilding_a_rollup(running: Running, proxy: Proxy, connection: Connection, mark: bytes) -> None:
    arguments = ("rollup", "rebuild", "day")
    kill_at(running, proxy, mark, *arguments)
    succeeds(running, *arguments)
    assert left_behind(connection) == []
    proxy.mend()
    assert_exact(running)
