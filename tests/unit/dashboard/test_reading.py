"""What the page asks of ClickHouse for one refresh: together, each query on a connection that no other thread uses."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from threading import Barrier, Lock, get_ident
from typing import Any

import pytest

from dashboard import queries
from dashboard import reading as module
from dashboard.filters import Filters, parse
from dashboard.reading import Reading
from sinks.clickhouse.errors import Refused
from sinks.clickhouse.settings import ClickHouseSettings

NOW = 1_760_000_000
FILTERS = replace(parse({}, NOW), currency="USD")
PATIENCE_SECONDS = 20.0


class Server:
    """Stands in for ClickHouse: answers nothing until ``together`` queries are under way at once."""

    def __init__(self, together: int) -> None:
        self.barrier = Barrier(together, timeout=PATIENCE_SECONDS)
        self.asked: dict[str, Mapping[str, Any]] = {}
        self.threads: dict[int, set[int]] = {}
        self.refused = ""
        self._lock = Lock()

    def connect(self, _: ClickHouseSettings) -> "Line":
        return Line(self)

    def answer(self, line: "Line", sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._lock:
            self.asked[sql] = parameters
            self.threads.setdefault(id(line), set()).add(get_ident())
        self.barrier.wait()
        if sql == self.refused:
            raise Refused(60, "no such table")
        return [("EUR", 3), ("USD", 1)] if sql == queries.currencies(FILTERS).sql else []


class Line:
    def __init__(self, server: Server) -> None:
        self.server = server

    def query(self, sql: str, parameters: Mapping[str, Any], _: object) -> list[tuple[Any, ...]]:
        return self.server.answer(self, sql, parameters)


@pytest.fixture
def served(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[tuple[Server, Reading]]:
    server = Server(request.param)
    monkeypatch.setattr(module, "connect", server.connect)
    reading = Reading(ClickHouseSettings(), now=lambda: float(NOW))
    yield server, reading
    server.barrier.abort()
    reading.close()


@pytest.mark.parametrize("served", [6], indirect=True)
def test_an_overview_takes_as_long_as_its_slowest_query(served: tuple[Server, Reading]) -> None:
    server, reading = served
    told = reading.overview(FILTERS)
    assert (told["currency"], told["currencies"]) == ("USD", ["EUR", "USD"])
    assert len(server.asked) == 6
    assert [len(threads) for threads in server.threads.values()] == [1] * 6


@pytest.mark.parametrize("served", [3], indirect=True)
def test_what_is_about_money_waits_for_the_most_frequent_currency(served: tuple[Server, Reading]) -> None:
    server, reading = served
    assert reading.overview(replace(FILTERS, currency=""))["currency"] == "EUR"
    money = [question(FILTERS).sql for question in (queries.series, queries.tops, queries.models)]
    assert {server.asked[sql]["currency"] for sql in money} == {"EUR"}


@pytest.mark.parametrize("served", [3], indirect=True)
def test_details_are_asked_for_together(served: tuple[Server, Reading]) -> None:
    server, reading = served
    assert reading.details(FILTERS) == {"partners": [], "magnets": [], "choices": {}, "currency": "USD"}
    assert len(server.asked) == 3


@pytest.mark.parametrize("served", [6], indirect=True)
@pytest.mark.parametrize("question", [queries.series, lambda _: queries.FRESHNESS])
def test_one_that_is_refused_is_the_answer(served: tuple[Server, Reading], question: Any) -> None:
    server, reading = served
    filters: Filters = FILTERS
    server.refused = question(filters).sql
    with pytest.raises(Refused):
        reading.overview(filters)
