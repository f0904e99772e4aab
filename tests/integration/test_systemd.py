"""deploy/systemd: units that systemd takes, hardened, with settings that exist and commands that other tests run."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.settings import (
    FILE_SUFFIX,
    PREFIX,
    SETTINGS,
    collector_settings,
    dashboard_settings,
    probe_settings,
    read_settings,
    worker_settings,
)
from tests.integration.test_compose import services

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PROGRAM = "/opt/funnel/bin/funnel"
MOST_EXPOSED = 2.0
"""What `systemd-analyze security` may make of a unit, of 10; an ordinary one gets 9.6."""
READERS = {
    "collector": collector_settings,
    "dashboard": dashboard_settings,
    "probe": probe_settings,
    "worker": worker_settings,
}
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="systemd-analyze is not on this machine (apt: systemd)",
)


def lines(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def role(unit: Path) -> str:
    return unit.stem.removeprefix("funnel-").removesuffix("@")


def assignments(text: str) -> dict[str, str]:
    found = (line.partition("=") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in found}


def environment(unit: Path, credentials: Path) -> Mapping[str, str]:
    """What the process gets: the common file, then the unit's own lines, with systemd's specifiers filled in."""
    own = assignments("\n".join(lines(unit, "Environment")))
    filled = {
        name: value.replace("%d", str(credentials)).replace("%S", "/var/lib").replace("%i", "9101")
        for name, value in own.items()
    }
    return {**assignments((FOLDER / "funnel.env").read_text()), **filled}


@needs_systemd
def test_systemd_takes_them(tmp_path: Path) -> None:
    for unit in UNITS:
        # The program has to be there; here it is somewhere else.
        text = unit.read_text().replace(PROGRAM, "/bin/true")
        (tmp_path / unit.name.replace("@", "@9101")).write_text(text)
    named = sorted(str(path) for path in tmp_path.iterdir())
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *named]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=role)
def test_little_is_open_to_them(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(unit)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    exposed = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposed and float(exposed[0]) <= MOST_EXPOSED


@pytest.mark.parametrize("unit", UNITS, ids=role)
def test_its_command_runs_with_these_settings(unit: Path, tmp_path: Path) -> None:
    credentials = dict(one.split(":", 1) for one in lines(unit, "LoadCredential"))
    for name, path in credentials.items():
        assert path == f"/etc/funnel/secrets/{name}"
        (tmp_path / name).write_text(f"{name} of a file\n")
    [command] = lines(unit, "ExecStart")
    program, *arguments = shlex.split(command)
    assert (program, arguments) == (PROGRAM, services()[role(unit)]["command"])
    environ = environment(unit, tmp_path)
    values = read_settings({name: value for name, value in environ.items() if name.startswith(PREFIX)})
    if role(unit) in READERS:
        READERS[role(unit)](values)
        assert values["metrics_port"], "another one at each start could not be scraped"
    secrets = {one.name for one in SETTINGS if one.secret and values[one.name]}
    files = {Path(value).name for name, value in environ.items() if name.endswith(FILE_SUFFIX)}
    assert len(secrets) == len(files) and files == credentials.keys()
    if values["spool_dir"]:
        [state] = lines(unit, "StateDirectory")
        assert Path(values["spool_dir"]).parent == Path("/var/lib") / state


def test_no_secret_is_in_the_files() -> None:
    secret = {one.variable for one in SETTINGS if one.secret}
    for path in (FOLDER / "funnel.env", *UNITS):
        assert not [name for name in secret if f"{name}=" in path.read_text()]


def test_every_role_has_a_unit() -> None:
    ours = {name for name, one in services().items() if one["image"].startswith("funnel:")}
    assert {role(unit) for unit in UNITS} <= ours
    assert {role(unit) for unit in UNITS} == {"init", "collector", "worker", "dashboard", "probe"}
