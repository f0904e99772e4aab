"""The system calls of the spool that a disk can fail; tests put one in their place that does."""

import os
from pathlib import Path


class Disk:
    """A real one. Everything raises OSError."""

    def create(self, path: Path) -> int:
        """Create a file that is not there yet, for its owner only; return its descriptor."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, descriptor: int, data: bytes) -> None:
        """Append all of ``data``; a part of it may be there after an error."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    def sync(self, descriptor: int) -> None:
        """Return once a file's content, or a directory's names, survive a loss of power."""
        os.fsync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut a file to ``size`` bytes."""
        os.ftruncate(descriptor, size)

    def read(self, path: Path, size: int) -> bytes:
        """Return the first ``size`` bytes of a file, or as many as it has."""
        with path.open("rb") as file:
            return file.read(size)
