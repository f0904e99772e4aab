"""The third party's environment: what its lock names and nothing of ours, installed once into .cache."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
LOCK = Path(__file__).with_name("third_party") / "requirements.lock"


def third_party_python(locked: Path = LOCK) -> Path:
    """Return the environment's Python; the environment is made where there is none for this lock and this Python yet."""
    digest = hashlib.sha256(locked.read_bytes()).hexdigest()[:12]
    folder = CACHE / f"third-party-{digest}-{sys.implementation.cache_tag}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "third-party.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A link to a Python that is no longer there does not exist either.
        if not _python(folder).exists():
            _install(folder, locked)
    return _python(folder)


def _install(folder: Path, locked: Path) -> None:
    """Whole or not at all: it gets its name at the end, and what an interrupted installation left is cleared away."""
    partial = folder.with_name(folder.name + ".partial")
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(partial)], check=True)
    # Isolated: a PYTHONPATH of the tests' must not let pip believe that something is there already.
    pip = [str(_python(partial)), "-I", "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--require-hashes", "-r", str(locked)], check=True)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"
