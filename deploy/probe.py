"""The synthetic probe: an impression through the front door, asked for in ClickHouse until it is there.

It is an event like any other, so it sees what senders and analysts see; its user agent makes it a bot's.
"""

import logging
import time
import uuid
from collections.abc import Callable
from threading import Event

import httpx

from deploy.settings import ProbeSettings
from schemas.metrics import ProbeMetrics
from schemas.probe import PROBE_AGENT, PROBE_CAMPAIGN
from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import ClickHouseError
from sinks.clickhouse.sql import literal

PAUSE_SECONDS = 0.2
"""Between two questions whether it is there."""
log = logging.getLogger("funnel.probe")


class ProbeFailed(Exception):
    """An event was not accepted (``stage`` send) or is not in ClickHouse in time (read)."""

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage


class Probe:
    """Probes by one ``client`` and one ``connection``. ``clock`` gives seconds since 1970."""

    def __init__(
        self,
        settings: ProbeSettings,
        client: httpx.Client,
        connection: Connection,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._client = client
        self._connection = connection
        self._clock = clock

    def once(self) -> float:
        """Send an event and return the seconds until it is in the journal. Raises ProbeFailed."""
        event_id, started = str(uuid.uuid4()), time.monotonic()
        self._send(event_id)
        while not self._is_there(event_id):
            if time.monotonic() - started > self._settings.patience_seconds:
                raise ProbeFailed(
                    "read", f"{event_id} is not there after {self._settings.patience_seconds:g} s"
                )
            time.sleep(PAUSE_SECONDS)
        return time.monotonic() - started

    def run(self, metrics: ProbeMetrics, stop: Event) -> None:
        """Probe until ``stop`` is set, once in ``settings.seconds``."""
        while not stop.is_set():
            began = time.monotonic()
            try:
                metrics.round_trip_seconds.observe(self.once())
                metrics.last_success.set(self._clock())
            except ProbeFailed as error:
                metrics.failures.labels(stage=error.stage).inc()
                log.error("the probe failed: %s", error)
            stop.wait(max(0.0, self._settings.seconds - (time.monotonic() - began)))

    def _send(self, event_id: str) -> None:
        parameters = {"event_id": event_id, "visitor": PROBE_AGENT, "campaign": PROBE_CAMPAIGN}
        try:
            answer = self._client.get(f"{self._settings.url}/i.gif", params=parameters)
        except httpx.HTTPError as error:
            raise ProbeFailed("send", f"{type(error).__name__} at {self._settings.url}") from error
        if not answer.is_success:
            raise ProbeFailed("send", f"HTTP {answer.status_code} from {self._settings.url}")

    def _is_there(self, event_id: str) -> bool:
        try:
            rows = self._connection.query(
                f"SELECT count() FROM journal WHERE kind = 'impression' AND event_id = {literal(event_id)} "
                "AND _record_time > now() - INTERVAL 1 HOUR"
            )
        except ClickHouseError as error:
            # It may come back while there is patience left.
            log.warning("ClickHouse: %s", error)
            return False
        return bool(rows[0][0])
