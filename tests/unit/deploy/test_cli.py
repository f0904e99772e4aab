"""The command line as its caller sees it: output and exit status."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.embedded.ports import free_port
from deploy.settings import PREFIX, SETTINGS

ROOT = Path(__file__).resolve().parents[3]


def funnel(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `funnel` with only these FUNNEL_* variables."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        cwd=ROOT,
        env={**environ, "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_settings_lists_every_variable_and_hides_secrets() -> None:
    done = funnel("settings", FUNNEL_TOKENS="s3cret-token", FUNNEL_KAFKA="kafka.example:9092")
    assert done.returncode == 0
    assert all(setting.variable in done.stdout for setting in SETTINGS)
    assert "kafka.example:9092" in done.stdout
    assert "s3cret-token" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["init", "worker", "collector", "up", "verify"])
def test_an_unknown_variable_stops_every_command(command: str) -> None:
    done = funnel(command, FUNNEL_PARTITOINS="3")
    assert done.returncode == 2
    assert done.stderr.startswith("funnel: FUNNEL_PARTITOINS: ")
    assert done.stdout == ""


def test_a_malformed_variable_is_named_and_a_secret_one_is_not_shown() -> None:
    done = funnel("settings", FUNNEL_FLUSH_ROWS="many")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "FUNNEL_FLUSH_ROWS: 'many'" in done.stderr


def test_clickhouse_that_is_away_is_one_line() -> None:
    port = free_port()
    done = funnel("query", "SELECT 1", FUNNEL_CLICKHOUSE_PORT=str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"funnel: 127.0.0.1:{port}")
    assert "Traceback" not in done.stderr


def test_a_stack_that_does_not_run_is_said(tmp_path: Path) -> None:
    for arguments in (("--embedded", "query", "SELECT 1"), ("top", "--once")):
        done = funnel(*arguments, FUNNEL_DATA_DIR=str(tmp_path))
        assert done.returncode == 1
        assert f"`funnel up` does not run over {tmp_path}" in done.stderr


def test_every_command_says_what_it_does() -> None:
    done = funnel("--help")
    assert done.returncode == 0
    for command in ("up", "init", "collector", "worker", "simulate", "verify", "top", "query", "settings"):
        [line] = [line for line in done.stdout.splitlines() if line.startswith(f"  {command} ")]
        assert len(line.split()) > 3


def test_a_spool_that_others_may_look_into_is_refused_in_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    done = funnel("collector", FUNNEL_SPOOL_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "chmod 700" in done.stderr and "Traceback" not in done.stderr
