"""Asking ClickHouse, from a few threads with a connection each, and putting the answers into what the page shows."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import local
from typing import Any, NamedTuple

from dashboard import queries
from dashboard.filters import Filters
from dashboard.queries import Query
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import Unavailable
from sinks.clickhouse.explain import explain
from sinks.clickhouse.settings import ClickHouseSettings

THREADS = 4
LIMITS = {"max_execution_time": 20}
"""Seconds after which ClickHouse gives a question up."""
Json = dict[str, Any]
_STEPS = ("impressions", "clicks", "leads", "conversions", "revenue", "payout")


class Waiting(NamedTuple):
    """Records in Kafka's log that are not in the journal, and for how many seconds none of them has been taken."""

    records: int
    seconds: int


class Reading:
    """Answers questions of the page. ``now`` gives Unix seconds; ``waiting`` what waits in the log, None where that is not known."""

    def __init__(
        self,
        settings: ClickHouseSettings,
        now: Callable[[], float] = time.time,
        waiting: Callable[[], Waiting | None] = lambda: None,
    ) -> None:
        self.waiting = waiting
        self.pool = ThreadPoolExecutor(THREADS, "reading")
        self.now = now
        self._settings = settings
        self._local = local()

    def rows(self, query: Query) -> list[tuple[Any, ...]]:
        """Return the rows of a query. Raises ClickHouseError. A connection that has gone away is opened once more."""
        try:
            return self._connection().query(query.sql, query.parameters, LIMITS)
        except Unavailable:
            return self._connection().query(query.sql, query.parameters, LIMITS)

    def _connection(self) -> Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = connect(self._settings)
        connection: Connection = self._local.connection
        return connection

    def overview(self, filters: Filters) -> Json:
        """What changes by the second: the funnel, its points over time, the best, the models, the last minutes, freshness."""
        filters, known = self.with_currency(filters)
        points = self.rows(queries.series(filters))
        now = int(self.now())
        return {
            "now": now,
            "start": filters.start,
            "end": filters.end,
            "step": filters.step,
            "zone": filters.zone,
            "credited": queries.is_credited(filters),
            "currency": filters.currency,
            "currencies": known,
            "points": points,
            "totals": {name: sum(row[place + 1] for row in points) for place, name in enumerate(_STEPS)},
            "tops": self.rows(queries.tops(filters)),
            "models": self.rows(queries.models(filters)),
            "recent": filters.recent,
            "seconds": self.rows(queries.seconds(now, filters.recent)),
            "sources": self.rows(queries.FRESHNESS),
            "waiting": self.waiting(),
        }

    def with_currency(self, filters: Filters) -> tuple[Filters, list[str]]:
        """Return ``filters`` with a currency (the most frequent where none is chosen), and those there are."""
        known = [str(row[0]) for row in self.rows(queries.currencies(filters))]
        chosen = filters.currency or (known[0] if known else "")
        return replace(filters, currency=chosen), known

    def details(self, filters: Filters) -> Json:
        """What changes by the minute: partners, lead magnets, and what there is to choose from."""
        filters, _ = self.with_currency(filters)
        choices: dict[str, list[str]] = {}
        for dimension, value in self.rows(queries.options(filters)):
            choices.setdefault(str(dimension), []).append(str(value))
        return {
            "partners": self.rows(queries.partners(filters)),
            "magnets": self.rows(queries.magnets(filters)),
            "choices": choices,
            "currency": filters.currency,
        }

    def explain(self, identifier: str) -> Json:
        """Everything the journal knows of an id, as `funnel explain --format json` says it. Raises ClickHouseError."""
        try:
            return explain(self._connection(), identifier)
        except Unavailable:
            return explain(self._connection(), identifier)

    def top_rows(self, filters: Filters) -> tuple[str, list[tuple[Any, ...]]]:
        """All rows of the table of the best, for export, and their currency."""
        filters, _ = self.with_currency(filters)
        return filters.currency, self.rows(queries.tops(filters, queries.CSV_ROWS))

    def point_rows(self, filters: Filters) -> tuple[str, list[tuple[Any, ...]]]:
        """All points over time, for export, and their currency."""
        filters, _ = self.with_currency(filters)
        return filters.currency, self.rows(queries.series(filters))
