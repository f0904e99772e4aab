"""Removing rows from the journal: what goes together, that nobody reads fences meanwhile, and that what cannot be removed is said."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from schemas.ids import mint
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import Refused, Unavailable
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.removing import check_removals, remove, wait_for_removals
from sinks.clickhouse.rewind import cuts, flushes_since
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source


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


def test_what_follows_in_the_sequence_of_flushes_goes_too(migrated: Connection) -> None:
    """A click that is older than the cut, but whose credits follow from a request that is not.

    packed at    1: click 0        2: request 0 (new)      3: click 1 (old)        the other number
    cut          |                 ✂ · · · · · · · · · · · · · · · · · · · ·       1: click 0 stays
    """
    numbers = {n: [source(topic, n) for topic in ("clicks", "credit-requests")] for n in range(2)}
    journal = Journal(migrated, "group")
    journal.take_ownership([*numbers[0], *numbers[1]], TOKEN)
    flushes = Flushes()
    route = mint()[:4]
    landing = [
        [flushes.touch(), flushes.touch(number=1)],
        [{**flushes.request(route, 1), "_record_time": NOW + 60_000}],
        [flushes.touch(), flushes.credit(1, "m", route, 50)],
    ]
    for place, rows in enumerate(landing):
        block = journal.pack(flushes.flush(rows, ingested=NOW + place))
        journal.insert(block, str(place), [*numbers[0], *numbers[1]], TOKEN)
    since = flushes_since(migrated, numbers, NOW + 60_000)
    assert since == {0: NOW + 1}
    found = {cut.source: (cut.kept, cut.first, dict(cut.rows)) for cut in cuts(migrated, numbers, since)}
    assert found == {
        source("clicks", 0): (0, 1, {"click": 1, "flush": 1}),
        source("credit-requests", 0): (-1, 0, {"credit": 1, "flush": 1, "request": 1}),
        source("clicks", 1): (0, 1, {}),
    }
