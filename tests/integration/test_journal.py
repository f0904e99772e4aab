"""The journal as the checkpoint: whole flushes, fences, owners, unknown outcomes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.embedded.clickhouse import ClickHouseServer
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.columns import Column
from sinks.clickhouse.errors import NotOwner, Refused, Unavailable
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.migrate import apply_migrations
from sinks.clickhouse.owners import running_comment
from sinks.clickhouse.pack import pack_block
from sinks.clickhouse.settings import ClickHouseSettings
from tests.integration.conftest import ENGINES
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source
from tests.integration.statement import Statement

MONTH = 31 * 24 * 3_600_000
SOURCES = [source(topic, number) for topic in ("impressions", "clicks", "leads") for number in range(2)]


@pytest.fixture
def journal(emptied: Connection) -> Journal:
    journal = Journal(emptied, "group")
    journal.take_ownership(SOURCES, TOKEN)
    return journal


@pytest.fixture
def flushes() -> Flushes:
    return Flushes()


def rows_and_parts(journal: Journal) -> tuple[int, int]:
    rows, parts = journal.connection.query("SELECT count(), uniqExact(_part) FROM journal")[0]
    return int(rows), int(parts)


def some_touches(flushes: Flushes, count: int = 50) -> list[dict[str, object]]:
    return [
        flushes.touch(kind, number % 2) for number in range(count) for kind in ("impression", "click", "lead")
    ]


class TestFlush:
    def test_lands_as_one_part(self, journal: Journal, flushes: Flushes) -> None:
        block = journal.pack(flushes.flush(some_touches(flushes)))
        journal.insert(block, "a", SOURCES, TOKEN)
        assert rows_and_parts(journal) == (block.rows, 1)

    def test_of_many_rows_lands_as_one_part(self, journal: Journal, flushes: Flushes) -> None:
        rows = [flushes.touch() for _ in range(1000)]
        frame = flushes.flush(rows)
        block = journal.pack(frame[:-1].sample(150_000, with_replacement=True, seed=1).vstack(frame[-1:]))
        journal.insert(block, "a", SOURCES, TOKEN)
        assert rows_and_parts(journal) == (150_001, 1)

    def test_with_compression(self, emptied: Connection, flushes: Flushes) -> None:
        connection = connect(replace(emptied.settings, compression=True))
        journal = Journal(connection, "group")
        journal.take_ownership(SOURCES, TOKEN)
        journal.insert(journal.pack(flushes.flush(some_touches(flushes))), "a", SOURCES, TOKEN)
        visitors = {row["visitor_id"] for row in flushes.rows if row["kind"] != "flush"}
        found = connection.query_frame("SELECT visitor_id FROM journal WHERE kind != 'flush'")
        connection.close()
        assert set(found["visitor_id"]) == visitors

    def test_sent_again_lands_once(self, journal: Journal, flushes: Flushes) -> None:
        block = journal.pack(flushes.flush(some_touches(flushes)))
        for _ in range(3):
            journal.insert(block, "a", SOURCES, TOKEN)
        assert rows_and_parts(journal) == (block.rows, 1)

    def test_of_two_months_is_refused_by_the_server(self, journal: Journal, flushes: Flushes) -> None:
        rows = [flushes.touch() for _ in range(2)]
        frame = flushes.flush(rows).with_row_index("n")
        months = frame.with_columns(_ingested_at=NOW + MONTH * (frame["n"] % 2).cast(int)).drop("n")
        with pytest.raises(Refused, match="Too many partitions"):
            journal.insert(pack_block(months, journal.columns), "a", SOURCES, TOKEN)
        assert rows_and_parts(journal)[0] == 0

    def test_of_two_times_of_ingestion_is_not_packed(self, journal: Journal, flushes: Flushes) -> None:
        frame = flushes.flush([flushes.touch() for _ in range(2)])
        with pytest.raises(AssertionError, match="_ingested_at"):
            journal.pack(frame.with_columns(_ingested_at=frame["_offset"]))

    def test_for_a_table_of_other_types_is_refused(self, journal: Journal, flushes: Flushes) -> None:
        frame = flushes.flush([flushes.touch()])
        columns = [
            Column("_offset", "Int32") if column.name == "_offset" else column for column in journal.columns
        ]
        with pytest.raises(Refused, match="_offset Int64"):
            journal.insert(pack_block(frame, columns), "a", SOURCES, TOKEN)
        assert rows_and_parts(journal)[0] == 0


class TestFences:
    def test_none_before_the_first_flush(self, journal: Journal) -> None:
        assert journal.fences(SOURCES) == {}

    def test_cover_duplicates(self, journal: Journal, flushes: Flushes) -> None:
        rows = [flushes.touch() for _ in range(3)]
        journal.insert(journal.pack(flushes.flush(rows, duplicates=4)), "a", SOURCES, TOKEN)
        assert journal.fences(SOURCES) == {source("clicks"): 6}

    def test_are_those_of_the_newest_flush(self, journal: Journal, flushes: Flushes) -> None:
        for number in range(3):
            rows = [flushes.touch(number=number % 2) for _ in range(5)]
            journal.insert(journal.pack(flushes.flush(rows)), str(number), SOURCES, TOKEN)
        assert journal.fences(SOURCES) == {source("clicks", 0): 9, source("clicks", 1): 4}
        assert journal.fences([source("clicks", 1)]) == {source("clicks", 1): 4}
        assert journal.fences([]) == {}


class TestOwners:
    def test_a_former_owner_lands_nothing(self, journal: Journal, flushes: Flushes) -> None:
        block = journal.pack(flushes.flush(some_touches(flushes)))
        journal.take_ownership([source("leads", 1)], TOKEN + 1)
        with pytest.raises(NotOwner):
            journal.insert(block, "a", SOURCES, TOKEN)
        assert rows_and_parts(journal)[0] == 0

    def test_the_new_owner_can(self, journal: Journal, flushes: Flushes) -> None:
        journal.take_ownership(SOURCES, TOKEN + 1)
        flushes.token = TOKEN + 1
        journal.insert(journal.pack(flushes.flush([flushes.touch()])), "a", SOURCES, TOKEN + 1)
        assert journal.fences(SOURCES) == {source("clicks"): 0}

    @pytest.mark.parametrize("token", [0, TOKEN])
    def test_a_source_without_an_owner_is_refused(
        self, journal: Journal, flushes: Flushes, token: int
    ) -> None:
        flushes.token = token
        block = journal.pack(flushes.flush([{**flushes.touch(), "_source": "c1/clicks/77"}]))
        with pytest.raises(NotOwner):
            journal.insert(block, "a", ["c1/clicks/77"], token)

    def test_are_written_to_every_replica(self, emptied: Connection, tmp_path: Path) -> None:
        with ClickHouseServer(tmp_path / "other") as other:
            settings = replace(emptied.settings, port=other.port)
            replica = connect(settings)
            apply_migrations(replica, settings)
            both = connect(replace(emptied.settings, replicas=(f"127.0.0.1:{other.port}",)))
            Journal(both, "group").take_ownership(SOURCES, 99)
            for connection in (emptied, replica):
                assert connection.query("SELECT joinGet('owners', 'token', %(s)s)", {"s": SOURCES[0]}) == [
                    (99,)
                ]
            both.close()
            replica.close()

    # The older embedded engine runs one statement at a time.
    @pytest.mark.parametrize("clickhouse_server", ENGINES[:1], indirect=True)
    def test_taking_over_ends_what_a_former_owner_has_running(self, journal: Journal) -> None:
        comment = running_comment("flush", "group", ["c1/clicks/0", "c1/leads/0"], TOKEN)
        former = Statement(journal.connection.settings, comment)
        others = Statement(
            journal.connection.settings, running_comment("flush", "group", ["c1/clicks/1"], TOKEN)
        )
        journal.take_ownership(["c1/leads/0"], TOKEN + 1)
        error = former.wait()
        assert isinstance(error, Unavailable), error
        assert others.running
        journal.kill_running(["c1/clicks/1"])
        assert isinstance(others.wait(), Unavailable)


class TestServerAway:
    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[ClickHouseServer]:
        with ClickHouseServer(tmp_path / "data", port=0) as server:
            yield server

    def test_flushes_are_whole_after_a_kill(self, server: ClickHouseServer, flushes: Flushes) -> None:
        settings = ClickHouseSettings(port=server.port, database="funnel")
        connection = connect(settings)
        apply_migrations(connection, settings)
        journal = Journal(connection, "group")
        journal.take_ownership(SOURCES, TOKEN)
        block = journal.pack(flushes.flush(some_touches(flushes)))
        journal.insert(block, "a", SOURCES, TOKEN)
        server.kill()
        second = journal.pack(flushes.flush(some_touches(flushes)))
        with pytest.raises(Unavailable):
            journal.insert(second, "b", SOURCES, TOKEN)
        with pytest.raises(Unavailable):
            journal.fences(SOURCES)
        connection.close()
        server.start()
        journal = Journal(connect(replace(settings, port=server.port)), "group")
        assert rows_and_parts(journal)[0] == block.rows
        journal.insert(second, "b", SOURCES, TOKEN)
        journal.insert(block, "a", SOURCES, TOKEN)
        assert rows_and_parts(journal)[0] == block.rows + second.rows
        assert journal.fences(SOURCES)[source("clicks")] == 49
        journal.connection.close()
