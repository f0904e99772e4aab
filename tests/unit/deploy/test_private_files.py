import stat
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.running import FILE, Running, find_running, written_down
from deploy.secrets import NAMES, embedded_secrets


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    secrets = embedded_secrets(tmp_path)
    assert set(secrets) == set(NAMES)
    assert len(set(secrets.values())) == len(NAMES)
    assert all(len(secret) >= 32 for secret in secrets.values())
    assert embedded_secrets(tmp_path) == secrets
    assert mode(tmp_path / "secrets.json") == 0o600


def test_two_installations_have_different_secrets(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    assert not set(embedded_secrets(one).values()) & set(embedded_secrets(two).values())


def test_a_secret_that_a_later_version_needs_is_added(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text('{"token": "kept"}')
    secrets = embedded_secrets(tmp_path)
    assert secrets["token"] == "kept"
    assert set(secrets) == set(NAMES)
    assert mode(tmp_path / "secrets.json") == 0o600


def test_a_running_stack_is_found_as_long_as_it_runs(tmp_path: Path) -> None:
    variables = {"FUNNEL_KAFKA": "here:1", "FUNNEL_TOKENS": "secret"}
    assert find_running(tmp_path) is None
    with written_down(tmp_path, variables, ["http://here/metrics"]):
        assert find_running(tmp_path) == Running(variables, ["http://here/metrics"])
        assert mode(tmp_path / FILE) == 0o600
    assert find_running(tmp_path) is None


def test_the_note_goes_also_when_the_stack_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), written_down(tmp_path, {}, []):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_the_note_of_a_killed_stack_leads_nowhere(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], stdout=subprocess.PIPE, check=True
    )
    (tmp_path / FILE).write_text(f'{{"pid": {int(gone.stdout)}, "variables": {{}}, "metrics": []}}')
    assert find_running(tmp_path) is None
