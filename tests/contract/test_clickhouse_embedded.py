"""What only the embedded server does: its life, its data directory, what it refuses by name."""

import sys
import time
import urllib.request
from pathlib import Path

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from deploy.embedded.clickhouse import ClickHouseServer
from deploy.embedded.clickhouse.spill import spill_folder
from deploy.embedded.ports import free_port
from deploy.embedded.supervise import ChildFailed

EMBEDDED = ["26.9", "24.8"]


@pytest.fixture(scope="module", params=EMBEDDED)
def python(request):
    """The interpreter for each engine."""
    return Path(sys.executable) if request.param == "26.9" else request.getfixturevalue("python_248")


@pytest.fixture(scope="module")
def server(python, tmp_path_factory):
    options = {"password": "a b'c", "metrics_port": free_port()}
    with ClickHouseServer(tmp_path_factory.mktemp("embedded") / "data", python=python, **options) as running:
        running.metrics_url = f"http://127.0.0.1:{options['metrics_port']}/metrics"
        yield running


@pytest.fixture
def client(server):
    one = Client.from_url(server.url)
    yield one
    one.disconnect()


def eventually(holds):
    """Wait until something holds that the server does in its own time."""
    for _ in range(500):
        if holds():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to hold")


class TestRefusedByName:
    @pytest.mark.parametrize(
        ("sql", "name"),
        [
            ("SELECT 1 INTO OUTFILE '/tmp/never'", "INTO OUTFILE"),
            ("INSERT INTO t FROM INFILE '/etc/passwd' FORMAT CSV", "INFILE"),
            ("SELECT sumState(number) FROM numbers(3)", "AggregateFunction(sum, UInt64)"),
        ],
    )
    def test_statements(self, client, sql, name):
        with pytest.raises(ServerException) as caught:
            client.execute(sql)
        assert caught.value.code == 48
        assert name in caught.value.message

    def test_external_tables(self, client):
        tables = [{"name": "ids", "structure": [("x", "Int32")], "data": [{"x": 1}]}]
        with pytest.raises(ServerException) as caught:
            client.execute("SELECT * FROM ids", external_tables=tables)
        assert caught.value.code == 48
        assert "external table ids" in caught.value.message

    def test_types(self, client):
        client.execute("CREATE OR REPLACE TABLE s (v AggregateFunction(sum, UInt64)) ENGINE = Memory")
        with pytest.raises(ServerException) as caught:
            client.execute("INSERT INTO s VALUES", [(b"",)])
        assert caught.value.code == 48
        assert "AggregateFunction(sum, UInt64)" in caught.value.message

    def test_compression_methods(self, server):
        """A client that packs with zstd, as far as its frames say."""
        client = Client.from_url(server.url + "?compression=lz4")
        client.execute("SELECT 1")
        client.connection.block_out.compressor.method_byte = 0x90
        with pytest.raises(ServerException) as caught:
            client.execute("SELECT 1")
        assert caught.value.code == 48
        assert "zstd" in caught.value.message

    def test_old_clients(self, server):
        client = Client.from_url(server.url + "?client_revision=54032")
        with pytest.raises(ServerException) as caught:
            client.execute("SELECT 1")
        assert "54032" in caught.value.message


class TestLife:
    def test_blocks_on_their_way_leave_nothing_behind(self, server, client):
        client.execute("CREATE OR REPLACE TABLE t (a UInt8) ENGINE = Memory")
        client.execute("INSERT INTO t VALUES", [(1,)])
        folder = spill_folder(server.path)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert all(file.stat().st_mode & 0o777 == 0o600 for file in folder.iterdir())
        client.disconnect()
        eventually(lambda: list(folder.iterdir()) == [])

    def test_a_smaller_insert_after_a_larger_one(self, client):
        """The file that blocks wait in is kept: nothing of an earlier insert may come back."""
        client.execute("CREATE OR REPLACE TABLE a (n UInt32) ENGINE = MergeTree ORDER BY n")
        client.execute("CREATE OR REPLACE TABLE b (s String, m UInt8) ENGINE = MergeTree ORDER BY s")
        for size in (5000, 3, 700, 1):
            client.execute("INSERT INTO a VALUES", [(n,) for n in range(size)])
            client.execute("INSERT INTO b VALUES", [(str(n), 1) for n in range(size // 2)])
        assert client.execute("SELECT count(), sum(n) FROM a") == [
            (5704, sum(sum(range(size)) for size in (5000, 3, 700, 1)))
        ]
        assert client.execute("SELECT count(), sum(m) FROM b") == [(2851, 2851)]

    def test_the_password_is_on_no_command_line(self, server):
        assert b"a b'c" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()

    def test_metrics(self, server, client):
        client.execute("CREATE OR REPLACE TABLE t (a UInt8) ENGINE = Memory")
        before = self.counters(server)
        client.execute("INSERT INTO t VALUES", [(1,), (2,)])
        with pytest.raises(ServerException):
            client.execute("SELECT nope")
        after = self.counters(server)
        grown = {name: after[name] - before[name] for name in after}
        assert grown["funnel_clickhouse_queries_total"] == 2
        assert grown["funnel_clickhouse_inserts_total"] == 1
        assert grown["funnel_clickhouse_inserted_rows_total"] == 2
        assert grown["funnel_clickhouse_exceptions_total"] == 1
        assert grown["funnel_clickhouse_received_bytes_total"] > 0

    @staticmethod
    def counters(server):
        lines = urllib.request.urlopen(server.metrics_url).read().decode().splitlines()
        samples = [line.split() for line in lines if line.startswith("funnel_") and "_created" not in line]
        return {name: float(value) for name, value in samples}

    def test_one_process_per_data_path(self, server, python, tmp_path):
        second = ClickHouseServer(server.path, python=python, log=tmp_path / "second.log")
        with pytest.raises(ChildFailed) as caught:
            second.start()
        assert f"in use by process {server.pid}" in str(caught.value)
        assert caught.value.returncode == 1

    def test_data_stays(self, python, tmp_path):
        server = ClickHouseServer(tmp_path / "data", python=python)
        for expected in (1, 2, 3):
            with server, Client(server.host, server.port) as client:
                client.execute("CREATE TABLE IF NOT EXISTS kept (a UInt8) ENGINE = MergeTree ORDER BY a")
                client.execute("CREATE DATABASE IF NOT EXISTS other")
                client.execute(
                    "CREATE TABLE IF NOT EXISTS other.kept (a UInt8) ENGINE = MergeTree ORDER BY a"
                )
                for table in ("kept", "other.kept"):
                    client.execute(f"INSERT INTO {table} VALUES", [(expected,)])
                    assert client.execute(f"SELECT count() FROM {table}") == [(expected,)]
                client.execute("CREATE OR REPLACE TABLE swapped (a UInt8) ENGINE = MergeTree ORDER BY a")
                client.execute("EXCHANGE TABLES kept AND swapped")
                client.execute("EXCHANGE TABLES kept AND swapped")
            assert not server.pid
            assert not spill_folder(server.path).exists()

    def test_a_running_insert_finishes_before_the_server_ends(self, python, tmp_path):
        server = ClickHouseServer(tmp_path / "data", python=python)
        with (
            server,
            Client(server.host, server.port) as client,
            Client(server.host, server.port) as witness,
        ):
            client.execute("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a")
            witness.execute("SELECT 1")
            client.connection.send_query("INSERT INTO t SELECT sleepEachRow(0.1) FROM numbers(10)")
            client.connection.send_external_tables(None)
            condition = "query LIKE 'INSERT INTO t%'"
            assert any(witness.execute(f"KILL QUERY WHERE {condition} TEST") for _ in range(500))
            server.stop()
        with server, Client(server.host, server.port) as client:
            assert client.execute("SELECT count() FROM t") == [(10,)]
