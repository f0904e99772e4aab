"""ClickHouse's disk is full for a while: flushes wait, no record is blamed for it, no number changes.

records   ──────────────────────────────────▶
disk      ──────■■■ full ■■■────────────────▶
journal   flushes, none, all that waited; not one reject of it
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from deploy.embedded.clickhouse import ClickHouseServer
from tests.disk import Disk, may_mount
from tests.faults.test_killed import Traffic, assert_exact
from tests.support import Running

needs_mount = pytest.mark.skipif(not may_mount(), reason="needs the right to mount a file system")
FULL_SECONDS = 3.0
PATIENCE = 60.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "stack" / "clickhouse") as disk:
        yield disk


@needs_mount
def test_clickhouse_without_room(disk: Disk, running: Running) -> None:
    worker = running.stack.start_worker()
    traffic = Traffic(running.values, 5, 6.0)
    traffic.start()
    time.sleep(1.5)
    disk.fill()
    try:
        deadline = time.monotonic() + PATIENCE
        while "NOT_ENOUGH_SPACE" not in worker.child.log.read_text():
            assert time.monotonic() < deadline, worker.child.log.read_text()
            time.sleep(0.2)
        time.sleep(FULL_SECONDS)
    finally:
        disk.free()
    traffic.finish()
    assert_exact(running.values)
    assert worker.child.running


BLOCK = 2_000
TIMES = 8
NOT_ENOUGH_SPACE = 243


class Inserts(threading.Thread):
    """Inserts block after block, each once; notes which were acknowledged, and the errors of the others."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.client = Client.from_url(url)
        self.acknowledged: set[int] = set()
        self.codes: list[int] = []
        self.end = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.end.wait(0.005):
            rows = f"SELECT {number}, rand64(), randomPrintableASCII(60) FROM numbers({BLOCK})"
            try:
                self.client.execute(f"INSERT INTO full {rows}")
                self.acknowledged.add(number)
            except ServerException as error:
                self.codes.append(error.code)
            number += 1
        self.client.disconnect()


@needs_mount
def test_the_engine_acknowledges_nothing_that_it_cannot_keep(disk: Disk) -> None:
    """The engine does not notice that a write fails: parts that were just written, or merged, would be empty files."""
    with ClickHouseServer(disk.folder) as server:
        client = Client.from_url(server.url)
        client.execute(
            "CREATE TABLE full (number UInt64, value UInt64, text String) ENGINE = MergeTree ORDER BY value"
        )
        inserts = Inserts(server.url)
        inserts.start()
        try:
            for _ in range(TIMES):
                time.sleep(0.7)
                disk.fill()
                time.sleep(0.5)
                disk.free()
        finally:
            inserts.end.set()
            inserts.join()
        found = dict(
            client.execute(
                "SELECT number, countIf(length(text) = 60 AND value != 0) FROM full GROUP BY number"
            )
        )
        client.disconnect()
    assert set(inserts.codes) == {NOT_ENOUGH_SPACE}
    assert {number: found.get(number) for number in inserts.acknowledged} == dict.fromkeys(
        inserts.acknowledged, BLOCK
    )
