"""Logs that stay readable under attack: so many lines of a kind a minute, then their number."""

import logging
import time
from collections.abc import Callable

MINUTE = 60.0


class Sampled(logging.Filter):
    """Lets ``per_minute`` records of each message template through; the first of the next minute says how many were left out."""

    def __init__(self, per_minute: int = 10, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._per_minute = per_minute
        self._clock = clock
        self._seen: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """See logging.Filter."""
        template, now = str(record.msg), self._clock()
        since, count = self._seen.get(template, (now, 0))
        if now - since >= MINUTE:
            if count > self._per_minute:
                record.msg = f"{template} ({count - self._per_minute} more like this were not logged)"
            since, count = now, 0
        self._seen[template] = since, count + 1
        return count < self._per_minute
