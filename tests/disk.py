"""A disk of its own for a folder, that can be full: a file system in memory whose size is set to what is on it."""

import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

ROOMY = "4g"
MORE = 16_384
"""Bytes that are left when it is full: nothing is there to the byte."""
LITTLE = 64 << 20
"""Bytes that are left on the way there."""
SHRINKING_SECONDS = 0.5
TRIES = 50


@cache
def may_mount() -> bool:
    """Whether this machine lets us: Linux, as root, with the right to mount."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return tried.returncode == 0


class Disk:
    """The file system at ``folder`` between ``with`` and its end. Raises CalledProcessError where it may not be mounted.

    With ``keep`` the folder holds afterwards what was on it.
    """

    def __init__(self, folder: Path, keep: bool = False) -> None:
        self.folder = folder
        self._keep = keep

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        _mount("-t", "tmpfs", "-o", f"size={ROOMY}", "tmpfs", str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = self.folder.with_name(f"{self.folder.name}.kept")
        if self._keep:
            shutil.copytree(self.folder, kept, symlinks=True)
        # At once for new files, in the end for whoever still has one open.
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
        if self._keep:
            self.folder.rmdir()
            kept.rename(self.folder)

    def fill(self) -> None:
        """Leave next to no room. It goes within half a second, as it does where something else writes, not from one moment to the next."""
        self._shrink(LITTLE)
        time.sleep(SHRINKING_SECONDS)
        self._shrink(MORE)

    def _shrink(self, left_bytes: int) -> None:
        for left in reversed(range(TRIES)):
            state = os.statvfs(self.folder)
            used = (state.f_blocks - state.f_bfree) * state.f_frsize
            try:
                return self._resize(str(used + left_bytes))
            except subprocess.CalledProcessError:
                # More has been written meanwhile.
                if not left:
                    raise

    def free(self) -> None:
        """Let there be room again."""
        self._resize(ROOMY)

    def _resize(self, size: str) -> None:
        _mount("-o", f"remount,size={size}", str(self.folder))


def _mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)
