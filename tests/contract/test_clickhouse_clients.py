"""Unmodified clients of other people over HTTP: clickhouse_connect, SQLAlchemy, the official client for Node, curl."""

import json
import shutil
import subprocess
from urllib.parse import urlsplit

import pytest

from tests.contract.node import node_modules, required_node
from tests.integration.curl import required_curl
from tests.integration.third_party_python import ROOT, third_party_python

FOLDER = ROOT / "tests" / "contract" / "bi"


def run(command, given, **options):
    """What a client printed, as JSON."""
    done = subprocess.run(
        command, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def python_results(http_server):
    address = urlsplit(http_server.http_url)
    where = {"host": address.hostname, "port": address.port, "database": http_server.database}
    given = {**where, "username": http_server.user, "password": http_server.password}
    # Isolated, so that nothing of ours can stand in for what the lock names.
    return run([third_party_python(FOLDER / "requirements.lock"), "-I", FOLDER / "client.py"], given)


def test_clickhouse_connect_and_sqlalchemy(python_results):
    assert list(python_results["clickhouse_connect"]) == ["False", "lz4", "zstd", "gzip"]
    for answers in python_results["clickhouse_connect"].values():
        assert answers == {
            "written": 70_000,
            "same": True,
            "empty": ["a", "b"],
            "no rows asked for": ["a"],
            "session": [77, 7],
            "raw": '"n"\n1\n',
            "streamed": 300_000,
            "unknown table": 60,
            "fails later": 395,
        }
    assert python_results["sqlalchemy"] == {
        "tables": ["c"],
        "columns": ["a", "b", "c", "d"],
        "few": 10,
        "bound": 69_995,
    }


def test_the_official_client_for_node(http_server, tmp_path):
    node = required_node()
    # A script finds packages beside itself.
    (tmp_path / "node_modules").symlink_to(node_modules() / "node_modules")
    script = shutil.copy(FOLDER / "client.mjs", tmp_path)
    given = {"url": http_server.http_url, "database": http_server.database}
    given |= {"username": http_server.user, "password": http_server.password}
    expected = {
        "ping": True,
        "written": "1000",
        "same": True,
        "counted": [{"n": 1000}],
        "streamed": 300_000,
        "unknown": "60",
        "later": "395",
    }
    assert run([node, script], given, cwd=tmp_path) == {"plain": expected, "packed": expected}


class TestCurl:
    @pytest.fixture
    def curl(self, http_server, tmp_path):
        """Runs curl as the owner; its name and password are in a file."""
        password = http_server.password.replace("\\", "\\\\").replace('"', '\\"')
        options = tmp_path / "options"
        options.write_text(f'user = "{http_server.user}:{password}"\n')
        start = [required_curl(), "-q", "-sS", "--noproxy", "*", "--max-time", "60", "-K", options]

        def ask(*arguments, **options):
            done = subprocess.run([*start, *arguments], capture_output=True, check=True, **options)
            return done.stdout

        return ask

    def test_get_and_post(self, http_server, curl):
        url = http_server.http_url
        assert curl("-G", url, "--data-urlencode", "query=SELECT 1 + 1") == b"2\n"
        assert curl(url, "--data-binary", "SELECT 'ü'") == "ü\n".encode()
        assert curl("--compressed", f"{url}/?enable_http_compression=1", "-d", "SELECT 3") == b"3\n"

    def test_a_large_file_is_inserted(self, http_server, curl, tmp_path):
        """curl asks first whether it may send so much (Expect: 100-continue)."""
        url = f"{http_server.http_url}/?database={http_server.database}"
        curl(url, "-d", "CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
        data = tmp_path / "data.csv"
        data.write_text("".join(f"{n}\n" for n in range(500_000)))
        assert curl(f"{url}&query=INSERT+INTO+t+FORMAT+CSV", "--data-binary", f"@{data}") == b""
        chunked = ("-H", "Transfer-Encoding: chunked")
        assert curl(f"{url}&query=INSERT+INTO+t+FORMAT+CSV", *chunked, "--data-binary", f"@{data}") == b""
        assert curl(url, "-d", "SELECT count() FROM t") == b"1000000\n"
