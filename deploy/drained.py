"""Waiting until everything in Kafka is in the journal and in the rollups."""

import time
from collections.abc import Callable

from deploy.backlog import Backlog


class NotDrained(Exception):
    """The pipeline stood still. ``backlog`` is what was left."""

    def __init__(self, backlog: Backlog, seconds: float) -> None:
        super().__init__(
            f"no progress for {seconds:.0f} s with {backlog.records} records to land and {backlog.derive} to derive"
        )
        self.backlog = backlog


def wait_until_drained(
    look: Callable[[], Backlog],
    progress: Callable[[Backlog], None] | None = None,
    patience: float = 60.0,
    pause: float = 0.2,
) -> float:
    """Return once ``look`` finds nothing left, twice in a row (hops may follow what has just landed): the monotonic time of the first.

    Raises NotDrained when nothing moves for ``patience`` seconds.
    """
    empty, before, since, emptied = 0, None, time.monotonic(), 0.0
    while empty < 2:
        backlog = look()
        if progress is not None:
            progress(backlog)
        empty = empty + 1 if not backlog.records and not backlog.derive else 0
        if empty == 1:
            emptied = time.monotonic()
        if backlog != before:
            before, since = backlog, time.monotonic()
        elif time.monotonic() - since > patience:
            raise NotDrained(backlog, patience)
        if empty < 2:
            time.sleep(pause)
    return emptied
