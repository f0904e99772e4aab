"""Records sent at an even rate."""

import time
from collections.abc import Iterable, Iterator

from simulator.items import Prepared

EVERY = 50


def paced(records: Iterable[Prepared], rate: float) -> Iterator[Prepared]:
    """Yield ``records``, ``rate`` of them a second; what has come too late is caught up with."""
    started = time.monotonic()
    for number, record in enumerate(records):
        if number % EVERY == 0:
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
        yield record
