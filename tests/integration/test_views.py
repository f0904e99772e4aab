"""The views people query."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.ids import mint
from schemas.metrics import WorkerMetrics
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import GRAINS
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rollup import Rollup, derive
from streams.assignment import Assignment
from streams.ledger import LedgerWatch
from streams.unit import Lines
from tests.integration.journal_rows import TOKEN, Flushes, source

SOURCES = [source(topic) for topic in ("impressions", "clicks", "leads", "conversions", "credit-requests")]


@pytest.fixture
def flushes() -> Flushes:
    return Flushes(3)


@pytest.fixture
def journal(emptied: Connection) -> Journal:
    journal = Journal(emptied, "group")
    journal.take_ownership(SOURCES, TOKEN)
    return journal


def land(journal: Journal, flushes: Flushes, *records: dict[str, Any], duplicates: int = 0) -> None:
    block = journal.pack(flushes.flush(list(records), duplicates=duplicates))
    journal.insert(block, str(len(flushes.rows)), SOURCES, TOKEN)


def test_touches(journal: Journal, flushes: Flushes) -> None:
    land(journal, flushes, *(flushes.touch(kind) for kind in ("impression", "click", "click", "lead")))
    for view, kind, count in (("impressions", "impression", 1), ("clicks", "click", 2), ("leads", "lead", 1)):
        visitors = {row["visitor_id"] for row in flushes.rows if row["kind"] == kind}
        rows = journal.connection.query(f"SELECT visitor_id FROM {view}")
        assert len(rows) == count
        assert {row[0] for row in rows} == visitors


def test_conversions_show_the_state_now(journal: Journal, flushes: Flushes) -> None:
    """pending 100, then approved 120, then reversed; a second transaction stays pending."""
    land(journal, flushes, flushes.conversion("pending"), flushes.count(1, "pending", 100))
    land(
        journal,
        flushes,
        flushes.conversion("approved"),
        flushes.count(-1, "pending", 100),
        flushes.count(1, "approved", 120, revision=2),
    )
    land(
        journal,
        flushes,
        flushes.conversion("reversed"),
        flushes.count(-1, "approved", 120, revision=2),
        flushes.count(1, "reversed", 120, revision=3),
    )
    land(
        journal,
        flushes,
        flushes.conversion("pending", transaction_id="u"),
        flushes.count(1, "pending", 7, transaction_id="u"),
    )
    sql = "SELECT transaction_id, status, value, recognised_value, revision FROM conversions ORDER BY transaction_id"
    assert journal.connection.query(sql) == [("t", "reversed", 120, 0, 3), ("u", "pending", 7, 7, 1)]
    assert journal.connection.query("SELECT count() FROM conversion_events") == [(4,)]


def test_credits_show_what_is_in_force(journal: Journal, flushes: Flushes) -> None:
    route = mint()[:4]
    land(
        journal,
        flushes,
        flushes.request(route, 1),
        flushes.credit(1, "a", route, 5),
        flushes.credit(1, "b", route, 5),
    )
    land(
        journal,
        flushes,
        flushes.request(route, 2),
        flushes.credit(-1, "a", route, 5),
        flushes.credit(1, "a", route, 9),
    )
    rows = journal.connection.query("SELECT model, value FROM credits ORDER BY model")
    assert rows == [("a", 9), ("b", 5)]


def test_ledger(journal: Journal, flushes: Flushes) -> None:
    """Three flushes of one source that follow one another, then one after a gap of 5, then one that overlaps by 2."""
    for count in (3, 4, 2):
        land(journal, flushes, *(flushes.touch() for _ in range(count)), duplicates=1)
    clicks = source("clicks")
    flushes.offsets[clicks] += 5
    land(journal, flushes, flushes.touch())
    flushes.offsets[clicks] -= 2
    land(journal, flushes, *(flushes.touch() for _ in range(4)))
    sql = "SELECT source, first_offset, last_offset, received, journaled, duplicates, gap, overlap, imbalance FROM ledger ORDER BY last_offset"
    assert journal.connection.query(sql) == [
        (clicks, 0, 3, 4, 3, 1, 0, 0, 0),
        (clicks, 4, 8, 5, 4, 1, 0, 0, 0),
        (clicks, 9, 11, 3, 2, 1, 0, 0, 0),
        (clicks, 17, 17, 1, 1, 0, 5, 0, 0),
        (clicks, 16, 19, 4, 4, 0, 0, 2, 0),
    ]
    query = journal.connection.query
    assert query("SELECT source, first_missing, last_missing, offsets FROM ledger_gaps") == [
        (clicks, 12, 16, 5)
    ]
    assert query("SELECT source, first_repeated, last_repeated, offsets FROM ledger_overlaps") == [
        (clicks, 16, 17, 2)
    ]
    sums = "flushes, first_offset, last_offset, received, journaled, duplicates, rejects, imbalance, gaps, overlaps"
    assert query(f"SELECT source, {sums} FROM ledger_sources") == [(clicks, 5, 0, 19, 17, 14, 3, 0, 0, 5, 2)]
    explained = query(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'ledger') AND comment != ''"
    )
    assert explained == [(4,)]


def test_a_worker_tells_gaps_and_overlaps_since_it_took_over(journal: Journal, flushes: Flushes) -> None:
    """
    former owner   |-- 0..2 --| · 4 missing, of old · |-- 7..7 --|
    this one                                                      · 2 missing ·|-- 10..10 --||-- 11..12 --|
                                                                                                    |-- 12..14 --|
    """
    clicks = source("clicks")
    land(journal, flushes, *(flushes.touch() for _ in range(3)))
    flushes.offsets[clicks] += 4
    land(journal, flushes, flushes.touch())
    journal.take_ownership(SOURCES, TOKEN + 1)
    lines = {("clicks", 0): clicks}
    one = Assignment(TOKEN + 1, lines, Lines({("clicks", 0): 8}), None)  # type: ignore[arg-type]
    registry = CollectorRegistry()
    watch = LedgerWatch(journal.connection, WorkerMetrics.create(registry))
    told = []
    flushes.token = TOKEN + 1
    for skipped, count in ((2, 1), (0, 2), (-1, 3)):
        flushes.offsets[clicks] += skipped
        block = journal.pack(flushes.flush([flushes.touch() for _ in range(count)]))
        journal.insert(block, str(len(flushes.rows)), [clicks], TOKEN + 1)
        watch.look(one)
        names = ("funnel_worker_ledger_gap_offsets", "funnel_worker_ledger_overlap_offsets")
        told.append([registry.get_sample_value(name, {"topic": "clicks"}) for name in names])
    assert told == [[2, 0], [2, 0], [2, 1]]


@pytest.mark.parametrize("rollup", GRAINS, ids=lambda rollup: rollup.name)
def test_rollups(journal: Journal, flushes: Flushes, rollup: Rollup) -> None:
    route = mint()[:4]
    land(journal, flushes, *(flushes.touch("click") for _ in range(3)), flushes.touch("impression"))
    land(journal, flushes, flushes.conversion("approved"), flushes.count(1, "approved", 50))
    land(journal, flushes, flushes.request(route, 1), flushes.credit(1, "m", route, 50))
    derive(journal, rollup, SOURCES, TOKEN)
    query = journal.connection.query
    sums = "sum(impressions), sum(clicks), sum(conversions_approved), sum(revenue)"
    funnel, attribution = f"funnel_{rollup.name}", f"attribution_{rollup.name}"
    assert query(f"SELECT {sums} FROM {funnel}") == [(1, 3, 1, 50)]
    assert query(f"SELECT model, sum(conversions), sum(revenue) FROM {attribution} GROUP BY model") == [
        ("m", 1.0, 50)
    ]
    assert query(f"SELECT min(bucket) > toDateTime(0) FROM {funnel}") == [(1,)]
    cut = f"toStartOfInterval(bucket, INTERVAL 1 {rollup.name})"
    assert query(f"SELECT countIf(bucket != {cut}) FROM {funnel}") == [(0,)]
