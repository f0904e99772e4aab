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
    """Return once nothing is left: the monotonic time at which that was first seen.

    That takes two looks at the same log: a flush sends its hops before it lands, so an empty look at a log that has not grown since then
    missed none. Raises NotDrained when nothing moves for ``patience`` seconds.
    """
    before, since = None, time.monotonic()
    while True:
        backlog = look()
        if progress is not None:
            progress(backlog)
        if backlog != before:
            before, since = backlog, time.monotonic()
        elif backlog.empty:
            return since
        elif time.monotonic() - since > patience:
            raise NotDrained(backlog, patience)
        time.sleep(pause)
