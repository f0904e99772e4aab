"""Removing rows from the journal: nobody reads fences meanwhile, and what cannot be removed is said."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import Refused, Unavailable
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.removing import check_removals, remove, wait_for_removals
from tests.integration.journal_rows import TOKEN, Flushes, source


@pytest.fixture
def journal(migrated: Connection) -> Journal:
    journal = Journal(migrated, "group")
    journal.take_ownership([source("clicks")], TOKEN)
    flushes = Flushes()
    journal.insert(journal.pack(flushes.flush([flushes.touch()])), "a", [source("clicks")], TOKEN)
    return journal


def test_nobody_takes_over_while_rows_go(journal: Journal) -> None:
    connection = journal.connection
    check_removals(connection)
    connection.execute("SYSTEM STOP MERGES journal")
    remove(connection, "kind = 'click'")
    with pytest.raises(Unavailable, match="rows are being removed"):
        check_removals(connection)
    other = connect(connection.settings)
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(wait_for_removals, other, pause=0.01)
        assert not waiting.done()
        connection.execute("SYSTEM START MERGES journal")
        waiting.result(60)
    other.close()
    check_removals(connection)
    assert connection.query("SELECT DISTINCT toString(kind) FROM journal") == [("flush",)]


def test_what_cannot_be_removed_is_said(journal: Journal) -> None:
    connection = journal.connection
    remove(connection, "throwIf(kind = 'click', 'not this one') = 1")
    with pytest.raises(Refused, match="not this one"):
        wait_for_removals(connection, pause=0.01)
    connection.execute("KILL MUTATION WHERE database = currentDatabase() AND table = 'journal'")
