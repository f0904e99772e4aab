"""docs/operations.md, read by a machine: commands in `sh` are run over a journal with events, one after the other; SQL is read by the engine; what
needs Docker, a cluster or systemd is at least a shell's."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.settings import PREFIX, SETTINGS, clickhouse_settings
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrate import statements
from tests.support import ROOT, Running, drain, funnel

PAGE = (ROOT / "docs" / "operations.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(name, content) for name, content in BLOCK.findall(PAGE)]
RUN = [content for name, content in BLOCKS if name == "sh"]


@pytest.fixture(scope="module")
def journaled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Servers with events through; the workers have been stopped, as offline commands want it."""
    running = Running(tmp_path_factory.mktemp("operations") / "stack")
    try:
        running.start()
        worker = running.stack.start_worker()
        sent = funnel(running, "simulate", "--events", "500", "--via", "kafka")
        assert sent.returncode == 0, sent.stderr
        drain(running.values)
        worker.child.stop()
        yield running
    finally:
        running.stack.stop()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which `funnel` is ours."""
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "funnel"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m deploy.cli "$@"\n')
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("command", RUN, ids=range(len(RUN)))
def test_a_command_does_its_work(journaled: Running, path: str, command: str) -> None:
    assert command.startswith("funnel ")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=ROOT,
        env={**inherited, **journaled.stack.settings(), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_numbers_are_right_after_all_of_them(journaled: Running) -> None:
    """Rebuilt rollups included."""
    assert len(RUN) >= 3
    assert funnel(journaled, "verify").returncode == 0


def test_the_engine_reads_the_sql(journaled: Running) -> None:
    connection = connect(clickhouse_settings(journaled.values))
    found = [sql for name, content in BLOCKS if name == "sql" for sql in statements(content)]
    assert found
    for sql in found:
        assert connection.query("SELECT formatQuery(%(sql)s)", {"sql": sql})[0][0]
    connection.close()


@pytest.mark.parametrize(
    "command",
    [text for name, text in BLOCKS if name in ("", "sh")],
    ids=range(sum(name in ("", "sh") for name, _ in BLOCKS)),
)
def test_every_command_is_one_of_a_shell(command: str) -> None:
    subprocess.run(["bash", "-n"], input=command, text=True, check=True, capture_output=True)


def test_every_setting_that_it_names_exists() -> None:
    known = {setting.variable for setting in SETTINGS}
    known |= {setting.variable + "_FILE" for setting in SETTINGS if setting.secret}
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", PAGE))
    assert named - known == set()


def test_every_file_that_it_names_is_there() -> None:
    named = re.findall(r"`((?:deploy|schemas|sinks)/[\w./-]+)`", PAGE)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert all((Path(ROOT) / "docs" / link).exists() for link in re.findall(r"\]\((\w+\.md)", PAGE))
