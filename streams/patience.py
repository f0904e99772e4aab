"""Waiting for Kafka or ClickHouse to come back, for as long as it makes sense."""

import logging
import threading

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_when_event_set
from tenacity.wait import wait_exponential_jitter

from schemas.metrics import WorkerMetrics

log = logging.getLogger(__name__)


def patiently(
    error: type[Exception], operation: str, give_up: threading.Event, metrics: WorkerMetrics
) -> Retrying:
    """Return a caller that repeats a call while it raises ``error``, at most 1 s apart; RetryError once ``give_up`` is set."""

    def note(state: RetryCallState) -> None:
        metrics.retries.labels(operation=operation).inc()
        log.warning("%s failed, trying again: %s", operation, state.outcome and state.outcome.exception())

    return Retrying(
        retry=retry_if_exception_type(error),
        wait=wait_exponential_jitter(multiplier=0.1, max=1.0),
        stop=stop_when_event_set(give_up),
        before_sleep=note,
    )
