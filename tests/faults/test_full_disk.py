"""ClickHouse's disk is full for a while: flushes wait, no record is blamed for it, no number changes.

records   ──────────────────────────────────▶
disk      ──────■■■ full ■■■────────────────▶
journal   flushes, none, all that waited; not one reject of it
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

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
        while "not enough space" not in worker.child.log.read_text():
            assert time.monotonic() < deadline, worker.child.log.read_text()
            time.sleep(0.2)
        time.sleep(FULL_SECONDS)
    finally:
        disk.free()
    traffic.finish()
    assert_exact(running.values)
    assert worker.child.running
