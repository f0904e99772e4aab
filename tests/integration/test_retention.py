"""What the journal lets go, and what it must not."""

from dataclasses import replace

import pytest

from schemas.ids import mint
from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rebuild import missing_rows
from sinks.clickhouse.retention import apply_retention
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

TOPICS = ("impressions", "clicks", "leads", "conversions", "credit-requests")
SOURCES = [source(topic) for topic in TOPICS]
DAY = 24 * 3_600_000


@pytest.fixture
def journal(migrated: Connection) -> Journal:
    journal = Journal(migrated, "group")
    journal.take_ownership(SOURCES, TOKEN)
    return journal


def land(journal: Journal, flushes: Flushes, ingested: int) -> None:
    route = mint()[:4]
    rows = [
        *(flushes.touch(kind) for kind in ("impression", "click", "lead")),
        *(flushes.conversion("approved"), flushes.count(1, "approved", 50)),
        *(flushes.request(route, 1), flushes.credit(1, "m", route, 50)),
    ]
    block = journal.pack(flushes.flush(rows, ingested=ingested))
    journal.insert(block, str(ingested), SOURCES, TOKEN)


def kinds(journal: Journal) -> dict[str, int]:
    rows = journal.connection.query("SELECT toString(kind), count() FROM journal GROUP BY kind")
    return {kind: int(count) for kind, count in rows}


def test_events_go_and_what_credits_are_computed_from_stays(journal: Journal) -> None:
    """
    ingested      |-- long ago: impression click lead conversion ... flush --|     |-- now --|
    kept 10 days                ✂
    """
    connection = journal.connection
    flushes = Flushes(3)
    [(now,)] = connection.query("SELECT toUnixTimestamp64Milli(now64(3))")
    land(journal, flushes, NOW)
    land(journal, flushes, now)
    before = kinds(journal)
    fences = journal.fences(SOURCES)
    settings = replace(connection.settings, retention_days=10)
    assert apply_retention(connection, settings)
    assert not apply_retention(connection, settings)
    connection.execute("ALTER TABLE journal MATERIALIZE TTL", {"mutations_sync": 2})
    connection.execute("OPTIMIZE TABLE journal FINAL")
    assert kinds(journal) == {**before, "impression": 1}
    assert journal.fences(SOURCES) == fences
    assert missing_rows(connection) == 1
    assert apply_retention(connection, replace(settings, retention_days=0))
    assert not apply_retention(connection, replace(settings, retention_days=0))


def test_a_journal_made_by_an_older_funnel_keeps_what_it_must_from_now_on(journal: Journal) -> None:
    """Its rows of all kinds but flush rows went."""
    connection = journal.connection
    connection.execute(
        "ALTER TABLE journal MODIFY TTL toDateTime(_ingested_at) + INTERVAL 100000 DAY DELETE WHERE kind != 'flush'"
    )
    assert apply_retention(connection, replace(connection.settings, retention_days=100_000))
    assert not apply_retention(connection, replace(connection.settings, retention_days=100_000))
