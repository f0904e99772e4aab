"""Where clients' blocks wait for their insert: a private folder, in memory where the system allows it."""

import hashlib
import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")


def spill_folder(path: Path) -> Path:
    """The folder that belongs to this data path."""
    if not os.access(MEMORY, os.W_OK):
        return path / ".spill"
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    return MEMORY / f"funnel-clickhouse-{os.getuid()}-{digest}"


def clear_spill(path: Path) -> Path:
    """That folder, made empty and readable by nobody else."""
    folder = spill_folder(path)
    remove_spill(path)
    folder.mkdir(mode=0o700, parents=True)
    return folder


def remove_spill(path: Path) -> None:
    shutil.rmtree(spill_folder(path), ignore_errors=True)
