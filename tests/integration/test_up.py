"""`funnel up` as its user meets it: from nothing to verified numbers, twice in a row; on a terminal; with a part that dies."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from deploy.embedded.ports import free_port
from deploy.settings import PREFIX

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 1500
PATIENCE = 120.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "deploy.cli", *arguments]


def environ(directory: Path) -> dict[str, str]:
    """The caller's variables without ours, then those of a stack of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {"FUNNEL_DATA_DIR": str(directory), "FUNNEL_PORT": str(free_port()), "FUNNEL_PARTITIONS": "2"}
    return {**inherited, **ours, "COLUMNS": "160", "TERM": "dumb"}


def funnel(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_verifies_twice_in_a_row_and_keeps_what_it_has(tmp_path: Path) -> None:
    variables = environ(tmp_path / "data")
    runs = [
        funnel(variables, "up", "--events", str(EVENTS), "--seed", seed, "--verify") for seed in ("1", "2")
    ]
    for run in runs:
        assert run.returncode == 0, run.stdout + run.stderr
        assert "verified: every number agrees" in run.stdout
        assert "running until" not in run.stdout
        assert run.stdout.splitlines()[-1].startswith("live page: http://127.0.0.1:")
    assert "004_views" in runs[0].stdout
    assert "tables: up to date" in runs[1].stdout
    impressions = [
        int(re.findall(r"impressions\s+│\s+([\d,]+)", run.stdout)[-1].replace(",", "")) for run in runs
    ]
    assert EVENTS / 3 < impressions[0] < impressions[1]
    assert not (tmp_path / "data" / "running.json").exists()


class Terminal:
    """`funnel up` on a terminal of its own; ``text`` is what it has printed."""

    def __init__(self, variables: dict[str, str], *arguments: str) -> None:
        self.variables = variables
        self.text = ""
        self._screen, terminal = pty.openpty()
        self.process = subprocess.Popen(
            command("up", *arguments),
            cwd=ROOT,
            env=variables,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)

    def wait_for(self, words: str) -> None:
        """Read until ``words`` appear."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._read() or self.process.poll() is None, self.text

    def wait(self) -> int:
        """Read until the process ends; return its exit status."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None or self._read():
            assert time.monotonic() < deadline, self.text
            self._read()
        return self.process.returncode

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._screen)

    def _read(self) -> bool:
        """Take in what there is within a moment; return whether there was something."""
        if not select.select([self._screen], [], [], 0.1)[0]:
            return False
        try:
            self.text += os.read(self._screen, 65536).decode(errors="replace")
        except OSError:  # the other end is closed
            return False
        return True


@contextmanager
def on_a_terminal(variables: dict[str, str], *arguments: str) -> Iterator[Terminal]:
    terminal = Terminal(variables, *arguments)
    try:
        terminal.wait_for("running until Ctrl-C")
        yield terminal
    finally:
        terminal.close()


def test_on_a_terminal_it_stays_until_interrupted(tmp_path: Path) -> None:
    variables = environ(tmp_path / "data")
    with on_a_terminal(variables) as terminal:
        secrets = json.loads((tmp_path / "data" / "secrets.json").read_text())
        collector = f"http://127.0.0.1:{variables['FUNNEL_PORT']}"
        assert httpx.get(f"{collector}/i.gif", params={"campaign": "spring"}).status_code == 200

        headers = {"Authorization": f"Bearer {secrets['token']}"}
        click = httpx.get(f"{collector}/c/home", params={"campaign": "spring"})
        assert (click.status_code, click.headers["location"][:35]) == (
            302,
            "https://example.com/?campaign=sprin",
        )
        form = httpx.post(f"{collector}/lead", data={"form": "newsletter", "email": "jane@mail.example"})
        assert form.json()["status"] == "accepted"
        batch = httpx.post(f"{collector}/events", json=example(), headers=headers)
        assert (batch.status_code, len(batch.json()["items"])) == (200, len(example()["events"]))

        assert until_verified(variables)
        answer = funnel(
            variables,
            "--embedded",
            "query",
            "SELECT model, campaign, value FROM credits WHERE model IN ('first_click', 'last_click') ORDER BY 1",
            "--format",
            "csv",
        )
        assert answer.stdout.split() == [
            "model,campaign,value",
            "first_click,spring,119000000",
            "last_click,spring,119000000",
        ]
        for name in ("4711", "customer-1"):
            story = funnel(variables, "--embedded", "explain", name).stdout
            assert "last_click 2: last" in story
            assert "100.00 %  value 119.000000" in story
        answer = funnel(
            variables, "--embedded", "query", "SELECT campaign FROM impressions", "--format", "csv"
        )
        assert answer.stdout.split() == ["campaign", "spring"]
        answer = funnel(
            variables, "--embedded", "query", "SELECT 1 AS a, 'x' AS b, NULL AS c", "--format", "json"
        )
        assert json.loads(answer.stdout) == {"a": 1, "b": "x", "c": None}
        table = funnel(variables, "top", "--once").stdout
        assert "4 processes answer" in table
        assert re.search(r"accepted by the collector\s+│\s+6 ", table)

        second = funnel({**variables, "FUNNEL_PORT": str(free_port())}, "up")
        assert second.returncode == 1
        assert "ClickHouse" in second.stdout

        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 130
    assert not any(secret in terminal.text for secret in secrets.values())
    assert not any(secret in log for log in logs(tmp_path / "data") for secret in secrets.values())
    with pytest.raises(httpx.ConnectError):
        httpx.get(collector)
    assert funnel(variables, "top", "--once").returncode == 1


def test_it_ends_with_the_address_of_a_page_that_has_the_numbers(tmp_path: Path) -> None:
    """As `make run` calls it."""
    with on_a_terminal(environ(tmp_path / "data"), "--events", str(EVENTS), "--verify") as terminal:
        lines = terminal.text.split("running until Ctrl-C")[0].splitlines()
        [url] = re.findall(r"^live page: (http://\S+)$", lines[-1])
        answer = httpx.get(url, trust_env=False)
        assert answer.status_code == 200
        [first] = re.findall(r'id="first">(.*?)</script>', answer.text, re.DOTALL)
        overview = json.loads(first)["overview"]
        assert min(overview["totals"].values()) > 0
        assert all(overview[name] for name in ("points", "tops", "models", "seconds", "sources"))


def example() -> dict[str, list[dict[str, str]]]:
    """The batch that README.md shows."""
    [text] = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    batch: dict[str, list[dict[str, str]]] = json.loads(text)
    return batch


def until_verified(variables: dict[str, str]) -> bool:
    """Verify until it is: the worker needs a moment for what has just been sent."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if funnel(variables, "--embedded", "verify").returncode == 0:
            return True
    return False


def logs(directory: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in (directory / "logs").iterdir()]


def test_a_part_that_dies_ends_it_and_is_named(tmp_path: Path) -> None:
    with on_a_terminal(environ(tmp_path / "data")) as terminal:
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        [worker] = [child for child in children if "worker" in child.cmdline()]
        worker.kill()
        assert terminal.wait() == 1
    assert "the worker has ended" in terminal.text
    assert "worker.log" in terminal.text
    assert not any(child.is_running() for child in children)


def test_asked_to_terminate_it_stops_its_children_first(tmp_path: Path) -> None:
    with on_a_terminal(environ(tmp_path / "data")) as terminal:
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        assert len(children) >= 4
        terminal.process.terminate()
        assert terminal.wait() == 128 + signal.SIGTERM
    assert not any(child.is_running() for child in children)
