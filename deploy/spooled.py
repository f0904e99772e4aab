"""Waiting until a collector's spool is in Kafka: what is only on disk cannot be in the journal."""

import time
from collections.abc import Callable

from deploy.scrape import scrape, total


def wait_until_sent(
    metrics: str, watch: Callable[[], None], patience: float = 60.0, pause: float = 0.1
) -> None:
    """Return once the collector with these metrics has no event on disk, or has as many for ``patience`` seconds: then
    it is the verification that says what is missing. ``watch`` is called before each look and may raise to end it.
    """
    before, since = -1.0, time.monotonic()
    while time.monotonic() - since < patience:
        watch()
        samples, answered = scrape([metrics])
        left = total(samples, "funnel_collector_spool_records")
        if answered and not left:
            return
        if left != before:
            before, since = left, time.monotonic()
        time.sleep(pause)
