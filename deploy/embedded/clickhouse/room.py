"""Room on the disk: with little left, nothing is written any more, as the engine does not notice writes that fail.

chDB 4.4 ignores a write for which the file system has no room: the insert is acknowledged, a merged part takes the place of those it was made of, and
their files are empty. So a floor of free bytes is kept: below it the engine refuses inserts (code 243) and merges stand still, the running ones too.
"""

import logging
import os
from pathlib import Path

from deploy.embedded.clickhouse.engine import Context, Engine

MOST_BYTES = 512 << 20
SHARE = 20
"""The floor is this part of the file system, and no more than `MOST_BYTES`."""
log = logging.getLogger(__name__)


def floor_bytes(folder: Path) -> int:
    """Return how much of the file system of ``folder`` must be free for anything to be written there."""
    status = os.statvfs(folder)
    return min(MOST_BYTES, status.f_blocks * status.f_frsize // SHARE)


class Room:
    """Looks after the file system of one data path; `look` is to be called several times a second, by one thread."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self._path = path
        self._engine = engine
        self._stopped = False
        self.floor = floor_bytes(path)

    def look(self) -> None:
        """Stop merges below the floor, let them go on well above it. Raises ServerError where the engine refuses."""
        status = os.statvfs(self._path)
        free = status.f_bavail * status.f_frsize
        if not self._stopped and free < self.floor:
            self._engine.control.query("SYSTEM STOP MERGES", Context())
            self._stopped = True
            log.warning(
                "%d MiB are free, less than %d: nothing is written to ClickHouse",
                free >> 20,
                self.floor >> 20,
            )
        elif self._stopped and free > self.floor + self.floor // 4:
            self._engine.control.query("SYSTEM START MERGES", Context())
            self._stopped = False
            log.info("%d MiB are free: written to ClickHouse again", free >> 20)
