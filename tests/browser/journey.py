"""What became of the browser's events, read from ClickHouse as an analyst would: over HTTP, by clickhouse_connect, as the user who may only read."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.embedded.clickhouse.access.users import READER
from tests.integration.third_party_python import ROOT, third_party_python

PATIENCE = 120.0
LOCK = ROOT / "tests" / "contract" / "bi" / "requirements.lock"
Row = dict[str, Any]
_READERS: dict[int, subprocess.Popen[str]] = {}
"""By ClickHouse's port of HTTP: the processes that `reading` has started."""


@contextmanager
def reading(values: Mapping[str, Any]) -> Iterator[None]:
    """While entered, `query` can be asked about the stack with these settings."""
    secrets = json.loads((Path(values["data_dir"]) / "secrets.json").read_text())
    port = values["clickhouse_http_port"]
    where = {
        "host": "127.0.0.1",
        "port": port,
        "username": READER,
        "password": secrets["clickhouse_reader_password"],
    }
    command = [str(third_party_python(LOCK)), "-I", str(Path(__file__).with_name("reader.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        _READERS[port] = process
        _send(process, where)
        try:
            yield
        finally:
            # The end of its input is the end of the process.
            del _READERS[port]


def query(values: Mapping[str, Any], sql: str) -> list[Row]:
    """Return the rows of a query by the names of its columns."""
    process = _READERS[values["clickhouse_http_port"]]
    _send(process, sql)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the reader has ended over {sql}"
    rows: list[Row] = json.loads(line)
    return rows


def _send(process: subprocess.Popen[str], content: object) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(content) + "\n")
    process.stdin.flush()


def await_rows(values: Mapping[str, Any], sql: str, count: int) -> list[Row]:
    """Return the rows of a query once there are ``count`` of them."""
    deadline = time.monotonic() + PATIENCE
    while len(rows := query(values, sql)) < count:
        assert time.monotonic() < deadline, rows
        time.sleep(0.1)
    return rows


def touches(values: Mapping[str, Any], campaign: str, count: int) -> list[Row]:
    """Return the touches of a campaign in order of time, once there are ``count`` of them."""
    return await_rows(
        values,
        f"""SELECT kind, toString(event_id) AS id, visitor_id, click_id, form, email_hash, phone_hash, affiliate, creative, consent, channel, sub1,
        utm_source, referrer, landing_url, value, currency FROM journal
        WHERE kind IN ('impression', 'click', 'lead') AND campaign = '{campaign}' ORDER BY occurred_at, kind""",
        count,
    )
