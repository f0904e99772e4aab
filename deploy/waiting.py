"""What waits in Kafka's log for the journal: so the live page can say that nothing takes it out, which ClickHouse alone does not tell."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from dashboard.reading import Waiting
from schemas.topics import TOPICS
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import ClickHouseError
from sinks.clickhouse.journal import known_sources, newest_flushes
from sinks.clickhouse.settings import ClickHouseSettings
from streams.broker import KafkaAway, TopicsError, Watermarks, describe_cluster
from streams.sources import name_sources
from streams.unit import Line

LOOK_SECONDS = 2.0
NAMES_SECONDS = 60.0
"""How long the cluster's topics, partitions and sources are taken as they were."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Standing:
    """Since when nothing has been taken out of the log, although there is something. Times are monotonic seconds."""

    _fences: Mapping[str, int] | None = None
    _since: float = 0.0

    def look(self, records: int, fences: Mapping[str, int], now: float) -> Waiting:
        """Return how many records wait, and for how many whole seconds no source's fence has moved meanwhile."""
        if not records or fences != self._fences:
            self._since = now
        self._fences = dict(fences)
        return Waiting(records, int(now - self._since))


class LogWatch(threading.Thread):
    """Looks every few seconds; ``waiting`` is what it saw, None while Kafka or ClickHouse does not answer."""

    def __init__(self, bootstrap: str, clickhouse: ClickHouseSettings) -> None:
        super().__init__(name="log-watch", daemon=True)
        self.waiting: Waiting | None = None
        self._kafka = bootstrap
        self._clickhouse = clickhouse
        self._standing = Standing()
        self._sources: dict[Line, str] = {}
        self._named = float("-inf")
        self._stopping = threading.Event()

    def run(self) -> None:
        """Look until stopped."""
        connection, watermarks = connect(self._clickhouse), Watermarks(self._kafka)
        try:
            while not self._stopping.is_set():
                self.waiting = self._look(connection, watermarks)
                self._stopping.wait(LOOK_SECONDS)
        finally:
            self.waiting = None
            watermarks.close()
            connection.close()

    def stop(self) -> None:
        """Look no more. It is not waited for: a Kafka that is away may keep it for long."""
        self._stopping.set()

    def _look(self, connection: Connection, watermarks: Watermarks) -> Waiting | None:
        try:
            self._learn_names(connection, time.monotonic())
            fences = newest_flushes(connection, list(self._sources.values()))
        except (KafkaAway, TopicsError, ClickHouseError) as error:
            _log.warning("what waits in Kafka is not known: %s", error)
            self._named = float("-inf")
            return None
        bounds = watermarks.bounds(list(self._sources))
        if not bounds:
            return None
        # What retention has deleted unread never comes.
        records = sum(
            max(0, end - max(start, fences.get(self._sources[line], start - 1) + 1))
            for line, (start, end) in bounds.items()
        )
        return self._standing.look(records, fences, time.monotonic())

    def _learn_names(self, connection: Connection, now: float) -> None:
        if now - self._named < NAMES_SECONDS:
            return
        cluster = describe_cluster(self._kafka, TOPICS)
        lines = [(topic, number) for topic in TOPICS for number in range(cluster.partitions[topic])]
        self._sources = name_sources(cluster, lines, known_sources(connection, cluster.id))
        self._named = now


@contextmanager
def watched(bootstrap: str, clickhouse: ClickHouseSettings) -> Iterator[Callable[[], Waiting | None]]:
    """Watch meanwhile; yield what tells the newest look."""
    watch = LogWatch(bootstrap, clickhouse)
    watch.start()
    try:
        yield lambda: watch.waiting
    finally:
        watch.stop()
