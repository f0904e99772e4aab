"""Where clients' blocks wait for their insert: a private folder, in memory where the system allows it."""

import hashlib
import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")
# Containers are given 64 MB of it by default, which one large insert fills.
ENOUGH_BYTES = 1 << 30


def spill_folder(path: Path) -> Path:
    """The folder that belongs to this data path."""
    if not os.access(MEMORY, os.W_OK) or _size(MEMORY) < ENOUGH_BYTES:
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


def _size(folder: Path) -> int:
    """Bytes that the file system of a folder can hold, used or not: the answer must be the same at every start."""
    status = os.statvfs(folder)
    return status.f_blocks * status.f_frsize
