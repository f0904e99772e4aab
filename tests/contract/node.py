"""The official Node client, installed once into .cache as its lock says."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache"
FOLDER = Path(__file__).with_name("bi")
FILES = ("package.json", "package-lock.json")


def required_node() -> str:
    """Return where node is. Without it, or npm, the test fails in CI, and is skipped elsewhere."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        missing = "node and npm are not on the PATH, and these tests ask with the client for Node"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return node


def node_modules(project: Path = FOLDER) -> Path:
    """Return a folder in which what ``project`` needs (`@clickhouse/client`) can be imported: whole, or not there yet."""
    lock = (project / "package-lock.json").read_bytes()
    folder = CACHE / f"node-{hashlib.sha256(lock).hexdigest()[:12]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "node.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not folder.exists():
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for name in FILES:
                shutil.copy(project / name, partial)
            subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=partial, check=True)
            partial.rename(folder)
    return folder
