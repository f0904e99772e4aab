"""Conversions by status, by three kinds of day, with numbers computed by hand.

day        0          1          3          7
           click      sale       approved   reversed
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from deploy.offline import OfflineError
from deploy.rollups import create_now
from schemas.ids import mint
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import STATUS
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rebuild import restate_version
from sinks.clickhouse.rollup import derive
from tests.integration.journal_rows import DIMENSIONS, NOW, TOKEN, Flushes, source

SOURCES = [source(topic) for topic in ("conversions", "credit-requests")]
DAY = 86_400_000
CLICKED, SOLD, APPROVED = (f"2025-10-{day:02}" for day in (9, 10, 12))
M = 1_000_000


@pytest.fixture
def journal(emptied: Connection) -> Journal:
    journal = Journal(emptied, "group")
    journal.take_ownership(SOURCES, TOKEN)
    return journal


def facts(flushes: Flushes) -> Iterator[dict[str, Any]]:
    """One transaction pending, approved, partly refunded, reversed too soon and then well; another that was never approved."""
    own = {"transaction_id": "t", "occurred_at": NOW + DAY, "currency": "EUR"}
    own |= {**dict.fromkeys(DIMENSIONS, ""), "campaign": "said"}
    approved = {**own, "approved_at": NOW + 3 * DAY}
    states = [
        (100, "pending", own),
        (100, "reversed", {**own, "flag": "reversed_after_pending"}),
        (100, "approved", approved),
        (60, "approved", approved),
        (60, "reversed", approved),
    ]
    for place, (value, status, more) in enumerate(states):
        yield flushes.conversion(status)
        if place:
            before, was, former = states[place - 1]
            yield flushes.count(-1, was, before * M, **former)
        yield flushes.count(1, status, value * M, **more)
    other = {**own, "transaction_id": "u", "flag": "rejected_after_approved"}
    yield flushes.count(1, "rejected", 7 * M, **other)
    route = mint()[:4]
    yield flushes.request(route, 1)
    earned = {"occurred_at": NOW + DAY, "touch_at": NOW, "campaign": "clicked", "currency": "EUR"}
    for sign, status, value in (
        (1, "approved", 60),
        (-1, "approved", 60),
        (1, "reversed", 0),
        (1, "pending", 40),
    ):
        yield {**flushes.credit(sign, "m", route, value * M), **earned, "status": status}
    nobody = {"channel": "unattributed", "touch_at": 0, "campaign": "", "occurred_at": NOW}
    yield {**flushes.credit(1, "m", route, 5 * M), **nobody}


def fill(journal: Journal) -> None:
    flushes = Flushes(3)
    journal.insert(journal.pack(flushes.flush(list(facts(flushes)))), "1", SOURCES, TOKEN)
    derive(journal, STATUS, SOURCES, TOKEN)


def read(journal: Journal, basis: str, flagged: str = ", flagged") -> list[tuple[Any, ...]]:
    columns = f"toString(day), campaign, status, conversions, value{flagged}"
    rows = journal.connection.query(f"SELECT {columns} FROM status_by_{basis} ORDER BY ALL")
    return [tuple(row) for row in rows]


def test_counts_and_money_by_each_day(journal: Journal) -> None:
    fill(journal)
    assert read(journal, "conversion") == [
        (SOLD, "said", "rejected", 1, Decimal(7), 1),
        (SOLD, "said", "reversed", 1, Decimal(60), 0),
    ]
    assert read(journal, "approval") == [(APPROVED, "said", "reversed", 1, Decimal(60), 0)]
    assert read(journal, "click", "") == [
        (CLICKED, "clicked", "pending", 1.0, Decimal(40)),
        (CLICKED, "clicked", "reversed", 1.0, Decimal(0)),
    ]


def test_the_state_says_since_when_and_what_is_wrong(journal: Journal) -> None:
    flushes = Flushes(3)
    own = {"transaction_id": "t", "revision": 2, "approved_at": NOW}
    former = flushes.count(1, "approved", 5, revision=1, transaction_id="u")
    told = flushes.conversion("rejected")
    rows = [told, flushes.count(1, "rejected", 5, flag="rejected_after_approved", **own), former]
    journal.insert(journal.pack(flushes.flush(rows)), "1", SOURCES, TOKEN)
    sql = "SELECT status, toUnixTimestamp64Milli(approved_at), flag FROM conversions ORDER BY transaction_id"
    assert journal.connection.query(sql) == [
        ("rejected", NOW, "rejected_after_approved"),
        ("approved", None, ""),
    ]


def test_a_version_that_is_restated_has_the_same_credits(journal: Journal) -> None:
    """What nobody earned has no day of a click, before as after."""
    fill(journal)
    sums = "sum(conversions), sum(credit_weight), sum(value)"
    sql = f"SELECT basis, status, model, {sums} FROM rollup_status WHERE _source = '' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    before = journal.connection.query(sql)
    journal.connection.execute("ALTER TABLE journal UPDATE model_version = 1 WHERE kind = 'credit'")
    restate_version(journal, STATUS, "m", 1, TOKEN)
    assert journal.connection.query(sql) == before


def test_no_other_rollup_has_its_columns_to_make_it_from(journal: Journal) -> None:
    fill(journal)
    assert create_now(journal, STATUS, lambda rows: None) == 0
    journal.connection.execute("RENAME TABLE rollup_status TO away")
    try:
        with pytest.raises(OfflineError, match="rollup_status is gone"):
            create_now(journal, STATUS, lambda rows: None)
    finally:
        journal.connection.execute("RENAME TABLE away TO rollup_status")
