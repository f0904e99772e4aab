"""Asking ClickHouse, from a few threads with a connection each, and putting the answers into what the page shows.

What needs several queries asks them together, from threads of their own: it takes as long as the slowest of them.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import local
from typing import Any, NamedTuple

from dashboard import queries
from dashboard.filters import Filters
from dashboard.queries import Query
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import Unavailable
from sinks.clickhouse.explain import PERSON_LIMIT, explain
from sinks.clickhouse.settings import ClickHouseSettings

THREADS = 4
QUERIES = 8
"""How many queries are under way at once; the rest wait. An overview has six."""
LIMITS = {"max_execution_time": 20}
"""Seconds after which ClickHouse gives a question up."""
Json = dict[str, Any]
Rows = list[tuple[Any, ...]]
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
        person_limit: int = PERSON_LIMIT,
    ) -> None:
        self.waiting = waiting
        self.pool = ThreadPoolExecutor(THREADS, "reading")
        # Not the same: questions that filled it would wait for queries that find no thread.
        self._queries = ThreadPoolExecutor(QUERIES, "query")
        self.now = now
        self._settings = settings
        self._person_limit = person_limit
        self._local = local()

    def close(self) -> None:
        """Begin nothing more."""
        for pool in (self.pool, self._queries):
            pool.shutdown(wait=False, cancel_futures=True)

    def rows(self, query: Query) -> Rows:
        """Return the rows of a query. Raises ClickHouseError. A connection that has gone away is opened once more."""
        try:
            return self._connection().query(query.sql, query.parameters, LIMITS)
        except Unavailable:
            return self._connection().query(query.sql, query.parameters, LIMITS)

    def _ask(self, query: Query) -> Future[Rows]:
        return self._queries.submit(self.rows, query)

    def _connection(self) -> Connection:
        if not hasattr(self._local, "connection"):
            self._local.connection = connect(self._settings)
        connection: Connection = self._local.connection
        return connection

    def overview(self, filters: Filters) -> Json:
        """What changes by the second: the funnel, its points over time, the best, the models, the last minutes, freshness."""
        now = int(self.now())
        seconds, sources = self._ask(queries.seconds(now, filters.recent)), self._ask(queries.FRESHNESS)
        known = self._ask(queries.currencies(filters))
        if not filters.currency:
            filters = _in_currency(filters, known.result())
        series, tops, models = (
            self._ask(question(filters)) for question in (queries.series, queries.tops, queries.models)
        )
        points = series.result()
        return {
            "now": now,
            "start": filters.start,
            "end": filters.end,
            "step": filters.step,
            "zone": filters.zone,
            "credited": queries.is_credited(filters),
            "currency": filters.currency,
            "currencies": [str(row[0]) for row in known.result()],
            "points": points,
            "totals": {name: sum(row[place + 1] for row in points) for place, name in enumerate(_STEPS)},
            "tops": tops.result(),
            "models": models.result(),
            "recent": filters.recent,
            "seconds": seconds.result(),
            "sources": sources.result(),
            "waiting": self.waiting(),
        }

    def with_currency(self, filters: Filters) -> Filters:
        """Return ``filters`` with a currency: the most frequent where none is chosen."""
        return filters if filters.currency else _in_currency(filters, self.rows(queries.currencies(filters)))

    def details(self, filters: Filters) -> Json:
        """What changes by the minute: partners, lead magnets, and what there is to choose from."""
        magnets, options = self._ask(queries.magnets(filters)), self._ask(queries.options(filters))
        filters = self.with_currency(filters)
        partners = self.rows(queries.partners(filters))
        choices: dict[str, list[str]] = {}
        for dimension, value in options.result():
            choices.setdefault(str(dimension), []).append(str(value))
        return {
            "partners": partners,
            "magnets": magnets.result(),
            "choices": choices,
            "currency": filters.currency,
        }

    def explain(self, identifier: str) -> Json:
        """Everything the journal knows of an id, as `funnel explain --format json` says it. Raises ClickHouseError."""
        try:
            return explain(self._connection(), identifier, self._person_limit)
        except Unavailable:
            return explain(self._connection(), identifier, self._person_limit)

    def top_rows(self, filters: Filters) -> tuple[str, Rows]:
        """All rows of the table of the best, for export, and their currency."""
        filters = self.with_currency(filters)
        return filters.currency, self.rows(queries.tops(filters, queries.CSV_ROWS))

    def point_rows(self, filters: Filters) -> tuple[str, Rows]:
        """All points over time, for export, and their currency."""
        filters = self.with_currency(filters)
        return filters.currency, self.rows(queries.series(filters))


def _in_currency(filters: Filters, known: Rows) -> Filters:
    return replace(filters, currency=str(known[0][0]) if known else "")
