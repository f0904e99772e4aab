"""Landing a flush through a network that fails: what is not known to have landed is looked up, and lands once.

worker    insert ──────────────▶ · · · (no answer)      fence read ──▶ there: done          not there: the same block again
ClickHouse              landed, or not
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import WorkerMetrics
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import Unavailable
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.owners import running_comment
from streams.assignment import Assignment
from streams.broker import Hop, HopError
from streams.errors import OwnershipLost, RecreatedTopicError
from streams.flushing import Flusher
from streams.unit import Line, Lines, Outcome, Tally
from tests.integration.conftest import ENGINES
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source
from tests.integration.statement import Statement
from tests.proxy import Proxy

LINE: Line = ("clicks", 0)
SOURCE = source("clicks")
HOP = Hop("credit-requests", 0, b"key", b"value", NOW)


class Sender:
    """Takes hops; the first ``failures`` times it does not."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.sent = 0

    def send(self, hops: list[Hop]) -> None:
        if self.failures:
            self.failures -= 1
            raise HopError(len(hops), "no broker")
        self.sent += len(hops)


@pytest.fixture
def proxy(emptied: Connection) -> Iterator[Proxy]:
    Journal(emptied, "group").take_ownership([SOURCE], TOKEN)
    with Proxy((emptied.settings.host, emptied.settings.port)) as proxy:
        yield proxy


@pytest.fixture
def journal(emptied: Connection, proxy: Proxy) -> Iterator[Journal]:
    """The journal as the worker sees it: through the proxy."""
    connection = connect(replace(emptied.settings, host="127.0.0.1", port=proxy.port))
    yield Journal(connection, "group")
    connection.close()


def flusher(journal: Journal, sender: Sender | None = None, now: Callable[[], int] = lambda: NOW) -> Flusher:
    metrics = WorkerMetrics.create(CollectorRegistry())
    return Flusher(journal, sender or Sender(), metrics, now)  # type: ignore[arg-type]


def assignment() -> Assignment:
    return Assignment(TOKEN, {LINE: SOURCE}, Lines({LINE: 0}), None)  # type: ignore[arg-type]


def outcome(flushes: Flushes, hops: list[Hop] | None = None, records: int = 20) -> Outcome:
    frame = flushes.flush([flushes.touch() for _ in range(records)]).drop("_ingested_at", "_owner")
    last = flushes.offsets[SOURCE]
    tally = Tally(last - records + 1, last, NOW, received=records)
    return Outcome([frame], hops or [], {LINE: tally}, pl.Series([NOW]))


def failing_once(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, step: str, before: Callable[[], Any]
) -> list[str]:
    """Let ``before`` happen before the first call of a step of the insert; return the list in which calls are noted."""
    client, calls = journal.connection._client, list[str]()
    original = getattr(client, step)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        calls.append(step)
        if len(calls) == 1:
            before()
        return original(*arguments, **named)

    monkeypatch.setattr(client, step, wrapped)
    return calls


def rows(connection: Connection) -> int:
    return int(connection.query("SELECT count() FROM journal")[0][0])


@pytest.fixture(params=["within the window", "the window has expired"])
def window(request: pytest.FixtureRequest, emptied: Connection) -> Iterator[None]:
    """How many inserts the server remembers: with none, only the fence tells that a flush has landed."""
    setting = "non_replicated_deduplication_window"
    if request.param == "the window has expired":
        emptied.execute(f"ALTER TABLE journal MODIFY SETTING {setting} = 0")
    yield
    emptied.execute(f"ALTER TABLE journal MODIFY SETTING {setting} = 10000")


@pytest.mark.usefixtures("window")
@pytest.mark.parametrize("records", [20, pytest.param(1, id="a log's first record alone")])
def test_the_answer_is_lost(
    emptied: Connection, journal: Journal, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    made = outcome(Flushes(), records=records)

    def lose_the_answer() -> None:
        while not rows(emptied):
            pass
        proxy.cut()
        proxy.mend()

    client = journal.connection._client
    asked = client.receive_sample_block

    def hold_answers_back() -> Any:
        sample = asked()
        if not rows(emptied):
            proxy.hold_back(answers_only=True)
        return sample

    monkeypatch.setattr(client, "receive_sample_block", hold_answers_back)
    calls = failing_once(journal, monkeypatch, "receive_end_of_insert_query", lose_the_answer)
    flusher(journal).land(assignment(), made)
    assert calls == ["receive_end_of_insert_query"]
    assert rows(emptied) == records + 1


def test_the_request_is_lost(
    emptied: Connection, journal: Journal, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = outcome(Flushes())

    def lose_the_request() -> None:
        proxy.cut()
        proxy.mend()

    calls = failing_once(journal, monkeypatch, "receive_sample_block", lose_the_request)
    flusher(journal).land(assignment(), made)
    assert len(calls) == 2
    assert rows(emptied) == 21


# The older embedded engine runs one statement at a time.
@pytest.mark.parametrize("clickhouse_server", ENGINES[:1], indirect=True)
def test_what_still_runs_is_ended_before_the_fence_is_read(
    emptied: Connection, journal: Journal, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    worker      insert ──────▶ · · · (no answer)       ends it, reads the fence, inserts
    ClickHouse       still at it ····················▶ |
    """
    running: list[Statement] = []

    def lose_the_request() -> None:
        running.append(Statement(emptied.settings, running_comment("flush", "group", [SOURCE], TOKEN)))
        proxy.cut()
        proxy.mend()

    asked = journal.fences

    def fences(sources: Sequence[str]) -> dict[str, int]:
        assert not running[0].running
        return asked(sources)

    monkeypatch.setattr(journal, "fences", fences)
    failing_once(journal, monkeypatch, "receive_sample_block", lose_the_request)
    try:
        flusher(journal).land(assignment(), outcome(Flushes()))
    finally:
        Journal(emptied, "group").kill_running([SOURCE])
    assert isinstance(running[0].wait(), Unavailable)
    assert rows(emptied) == 21


def test_after_a_revocation_nothing_is_tried_again(
    emptied: Connection, journal: Journal, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = assignment()

    def revoke() -> None:
        one.abandon()
        proxy.cut()
        proxy.mend()

    calls = failing_once(journal, monkeypatch, "receive_sample_block", revoke)
    with pytest.raises(OwnershipLost):
        flusher(journal).land(one, outcome(Flushes()))
    assert len(calls) == 1
    assert rows(emptied) == 0


def test_hops_are_acknowledged_before_the_insert(emptied: Connection, journal: Journal) -> None:
    """A failing broker holds the insert back, and a worker that dies meanwhile has landed nothing."""
    sender = Sender(failures=2)
    one, seen = assignment(), list[int]()
    sending = sender.send
    sender.send = lambda hops: (seen.append(rows(emptied)), sending(hops))[1]  # type: ignore[method-assign]
    flusher(journal, sender).land(one, outcome(Flushes(), [HOP]))
    assert (seen, sender.sent, rows(emptied)) == ([0, 0, 0], 1, 21)


def test_the_order_of_flushes_does_not_depend_on_the_clock(emptied: Connection, journal: Journal) -> None:
    """It is set back by an hour, and the next owner's machine is another hour behind."""
    clock = iter((NOW, NOW - 3_600_000, NOW - 7_200_000))
    flushes, landing = Flushes(), flusher(journal, now=lambda: next(clock))
    first = assignment()
    for one in (first, first, None):
        if one is None:
            one = assignment()
            one.ingested_at = journal.newest_ingestion([SOURCE])
        landing.land(one, outcome(flushes))
    sql = "SELECT toUnixTimestamp64Milli(_ingested_at) FROM journal WHERE kind = 'flush' ORDER BY _offset"
    assert emptied.query(sql) == [(NOW,), (NOW + 1,), (NOW + 2,)]


def test_nothing_of_a_recreated_topic_lands(journal: Journal) -> None:
    """Offsets of the new log may look like those of the former: what was read of it is nobody's."""
    flushes, sent = Flushes(1), Sender()
    journal.take_ownership([SOURCE], TOKEN)
    mine = replace(assignment(), topic_ids={"clicks": "former"})
    metrics = WorkerMetrics.create(CollectorRegistry())
    one = Flusher(journal, sent, metrics, lambda: NOW, lambda: {"clicks": "present"})  # type: ignore[arg-type]
    with pytest.raises(RecreatedTopicError, match="the id former, the cluster has present"):
        one.land(mine, outcome(flushes))
    assert journal.fences([SOURCE]) == {}
