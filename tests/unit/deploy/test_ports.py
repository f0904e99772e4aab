"""Ports that nobody else takes before their server does."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded import ports
from deploy.embedded.ports import PORTS, SHARES, free_port

LOOKING = """
import sys
from deploy.embedded.ports import free_port

print(*(free_port() for _ in range(int(sys.argv[1]))), flush=True)
sys.stdin.read()
"""


def test_what_one_process_got_no_other_gets() -> None:
    each = len(PORTS) // SHARES // 2
    looking = [
        subprocess.Popen(
            [sys.executable, "-c", LOOKING, str(each)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    found: list[str] = []
    for process in looking:
        assert process.stdout is not None
        found += process.stdout.readline().split()
    for process in looking:
        process.communicate("")
    assert len(set(found)) == len(found) == 4 * each


def test_what_is_taken_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr(ports, "_round", lambda _process: iter([taken.getsockname()[1]]))
        with pytest.raises(OSError, match=r"no free port on 127\.0\.0\.1"):
            free_port()


def test_where_nothing_can_be_written_any_port_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    assert ports._share() is None
    ports._round.cache_clear()
    assert free_port() in PORTS
    ports._round.cache_clear()
