"""Deriving the rollups: every row once, whatever is interrupted, repeated or cut."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from deploy.offline import OfflineError
from deploy.rollups import rebuild_now
from schemas.ids import mint
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import NotOwner, Refused, Unavailable
from sinks.clickhouse.grains import DAY, DIMENSIONS, GRAINS, HOUR, MEASURES, MINUTE, ROLLUPS
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rebuild import create, missing_rows, rebuild
from sinks.clickhouse.rollup import _SETTINGS, Rollup, derive, rollup_fences, statement, waiting
from tests.integration.conftest import ENGINES
from tests.integration.journal_rows import TOKEN, Flushes, source

SOURCES = [
    source(topic, number)
    for topic in ("impressions", "clicks", "leads", "conversions", "credit-requests")
    for number in range(2)
]
KEYS = ("bucket", *DIMENSIONS, "currency", "model")
Totals = dict[tuple[Any, ...], dict[str, Any]]


@pytest.fixture
def journal(emptied: Connection) -> Journal:
    journal = Journal(emptied, "group")
    journal.take_ownership(SOURCES, TOKEN)
    return journal


@contextmanager
def held_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """Statements do not get to the server meanwhile; they are in what this yields."""
    late: list[tuple[Any, ...]] = []
    with monkeypatch.context() as patched:
        patched.setattr(Connection, "execute", lambda self, sql, settings=None: late.append((sql, settings)))
        yield late


@pytest.fixture
def land(journal: Journal) -> Callable[[Flushes], None]:
    """Insert one mixed flush of about 100 records."""

    def insert(flushes: Flushes) -> None:
        block = journal.pack(flushes.flush(mixed(flushes)))
        journal.insert(block, str(len(flushes.rows)), SOURCES, flushes.token)

    return insert


def mixed(flushes: Flushes) -> list[dict[str, Any]]:
    """Touches of few visitors; conversions that change their mind; credits issued and taken back."""
    draw = flushes.random
    visitors = [mint() for _ in range(5)]
    rows = []
    for _ in range(60):
        kind = draw.choice(("impression", "impression", "click", "lead"))
        rows.append(flushes.touch(kind, draw.randrange(2), draw.choice(visitors)))
    for _ in range(20):
        number, route = draw.randrange(2), mint()[:4]
        status = draw.choice(("pending", "approved", "rejected", "reversed"))
        value = draw.randrange(10**9)
        rows.append(flushes.conversion(status, number))
        if draw.randrange(2):
            rows.append(flushes.count(-1, "pending", value, number))
        rows.append(flushes.count(1, status, value, number))
        rows.append(flushes.request(route, 1, number))
        for model in ("last_click", "first_click"):
            rows.append(
                {**flushes.credit(draw.choice((1, -1)), model, route, value, number), "status": status}
            )
    return rows


SECONDS = {MINUTE.name: 60, HOUR.name: 3_600, DAY.name: 86_400}
by_grain = pytest.mark.parametrize("rollup", GRAINS, ids=lambda rollup: rollup.name)


def expected(rows: list[dict[str, Any]], seconds: int = 60) -> Totals:
    """The rules, row by row (docs/rules.md, section 9)."""
    totals: Totals = defaultdict(lambda: {**dict.fromkeys(MEASURES, 0), "visitors": set()})
    for row in rows:
        kind = row["kind"]
        touch = kind in ("impression", "click", "lead")
        if not touch and kind not in ("count", "credit"):
            continue
        bucket = row["occurred_at"] // (seconds * 1000) * seconds
        dimensions = tuple(row.get(name, 0 if name == "bot" else "") for name in DIMENSIONS)
        key = (bucket, *dimensions, "" if touch else row["currency"], row.get("model", ""))
        total = totals[key]
        if touch:
            total[f"{kind}s"] += 1
            total["visitors"].add(row["visitor_id"])
            continue
        sign, status = row["sign"], row["status"]
        if kind == "count":
            total[f"conversions_{status}"] += sign
        elif status in ("pending", "approved"):
            total["credit_weight"] += sign * row["weight"]
        for measure, value in (("revenue", row["value"]), ("payout", row["payout"])):
            total[measure] += sign * value if status in ("pending", "approved") else 0
            total[f"{measure}_approved"] += sign * value if status == "approved" else 0
    return {key: {**total, "visitors": len(total["visitors"])} for key, total in totals.items()}


def found(connection: Connection, table: str = "rollup_minute") -> Totals:
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    rows = connection.query(
        f"SELECT toUnixTimestamp(bucket), {', '.join(KEYS[1:])}, {sums}, uniqCombined64Merge(visitors) FROM {table} "
        f"WHERE _source = '' GROUP BY {', '.join(KEYS)}"
    )
    names = (*MEASURES, "visitors")
    return {row[: len(KEYS)]: dict(zip(names, row[len(KEYS) :], strict=True)) for row in rows}


def derive_all(journal: Journal, rollup: Rollup = MINUTE, limit: int = 1_000_000, token: int = TOKEN) -> int:
    """Derive until nothing is left; return the number of calls."""
    calls = 1
    while derive(journal, rollup, SOURCES, token, limit).more:
        calls += 1
    return calls


def parts(journal: Journal, table: str = "rollup_minute") -> int:
    return int(journal.connection.query(f"SELECT uniqExact(_part) FROM {table}")[0][0])


class TestDerive:
    @by_grain
    @pytest.mark.parametrize("seed", [1, 2])
    def test_equals_the_rules(
        self, journal: Journal, land: Callable[[Flushes], None], seed: int, rollup: Rollup
    ) -> None:
        flushes = Flushes(seed)
        for _ in range(4):
            land(flushes)
        derived = derive(journal, rollup, SOURCES, TOKEN)
        assert not derived.more
        assert derived.fences == flushes.offsets == rollup_fences(journal.connection, rollup, SOURCES)
        assert found(journal.connection, rollup.table) == expected(flushes.rows, SECONDS[rollup.name])
        assert parts(journal, rollup.table) == 1

    def test_each_rollup_has_fences_of_its_own(
        self, journal: Journal, land: Callable[[Flushes], None]
    ) -> None:
        """
        journal    |--flush 1--|--flush 2--|
        minutes    ----------------------->
        hours      ----------->
        days       >
        """
        flushes = Flushes(10)
        land(flushes)
        first = dict(flushes.offsets)
        derive_all(journal, HOUR)
        land(flushes)
        derive_all(journal)
        fences = [rollup_fences(journal.connection, rollup, SOURCES) for rollup in GRAINS]
        assert fences == [flushes.offsets, first, dict.fromkeys(SOURCES, -1)]
        derive_all(journal, HOUR)
        derive_all(journal, DAY)
        for rollup in (HOUR, DAY):
            assert found(journal.connection, rollup.table) == expected(flushes.rows, SECONDS[rollup.name])

    def test_again_adds_nothing(self, journal: Journal, land: Callable[[Flushes], None]) -> None:
        flushes = Flushes()
        land(flushes)
        derive_all(journal)
        before = journal.connection.query("SELECT count() FROM rollup_minute")
        assert derive(journal, MINUTE, SOURCES, TOKEN).rows == 0
        assert journal.connection.query("SELECT count() FROM rollup_minute") == before

    def test_of_nothing(self, journal: Journal) -> None:
        derived = derive(journal, MINUTE, SOURCES, TOKEN)
        assert (derived.rows, derived.fences, derived.more) == (0, {}, False)
        assert derive(journal, MINUTE, [], TOKEN).fences == {}

    def test_after_every_flush_equals_once_at_the_end(
        self, journal: Journal, land: Callable[[Flushes], None]
    ) -> None:
        flushes = Flushes(3)
        for _ in range(5):
            land(flushes)
            derive_all(journal)
            assert found(journal.connection) == expected(flushes.rows)

    def test_cut_into_many_statements(self, journal: Journal, land: Callable[[Flushes], None]) -> None:
        """A limit below one flush per source: each statement takes one flush of each source.

        source a   |--flush 1--|--flush 2--|--flush 3--|
        source b   |--1--|---2---|-----3-----|
        statement    1      2        3                    fences after each: the flush's end
        """
        flushes = Flushes(4)
        for _ in range(3):
            land(flushes)
        assert derive_all(journal, limit=1) == 3
        assert found(journal.connection) == expected(flushes.rows)
        assert rollup_fences(journal.connection, MINUTE, SOURCES) == flushes.offsets

    def test_many_groups_land_as_one_part(self, journal: Journal) -> None:
        flushes = Flushes(5)
        flush = flushes.flush([flushes.touch()])
        touches = (
            flush[:1]
            .join(pl.DataFrame({"n": range(100_000)}), how="cross")
            .drop("n")
            .with_columns(campaign="c" + pl.int_range(pl.len()).cast(pl.String))
        )
        journal.insert(journal.pack(pl.concat([touches, flush[1:]])), "a", SOURCES, TOKEN)
        derive_all(journal)
        rows = journal.connection.query("SELECT sum(clicks), count() FROM rollup_minute WHERE _source = ''")
        assert rows == [(100_000, 100_000)]
        assert parts(journal) == 1


class TestOwnership:
    @pytest.mark.parametrize("rollup", ROLLUPS, ids=[rollup.name for rollup in ROLLUPS])
    def test_a_former_owner_derives_nothing(
        self, journal: Journal, land: Callable[[Flushes], None], rollup: Rollup
    ) -> None:
        flushes = Flushes()
        land(flushes)
        journal.take_ownership([SOURCES[3]], TOKEN + 1)
        with pytest.raises(NotOwner):
            derive(journal, rollup, SOURCES, TOKEN)
        assert journal.connection.query(f"SELECT count() FROM {rollup.table}") == [(0,)]

    def test_the_new_owner_goes_on(self, journal: Journal, land: Callable[[Flushes], None]) -> None:
        flushes = Flushes()
        land(flushes)
        derive_all(journal)
        journal.take_ownership(SOURCES, TOKEN + 1)
        flushes.token = TOKEN + 1
        land(flushes)
        derive_all(journal, token=TOKEN + 1)
        assert found(journal.connection) == expected(flushes.rows)

    def test_a_statement_of_a_former_owner_that_arrives_late_is_refused(
        self, journal: Journal, land: Callable[[Flushes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        former owner   fences read, statement sent ··················· arrives: refused
        new owner                                   takes over, derives
        """
        flushes = Flushes()
        land(flushes)
        with held_back(monkeypatch) as late:
            derive(journal, MINUTE, SOURCES, TOKEN)
        journal.take_ownership(SOURCES, TOKEN + 1)
        derive_all(journal, token=TOKEN + 1)
        with pytest.raises(NotOwner):
            journal.connection.execute(*late[0])
        assert found(journal.connection) == expected(flushes.rows)

    # The older embedded engine runs one statement at a time.
    @pytest.mark.parametrize("clickhouse_server", ENGINES[:1], indirect=True)
    def test_a_statement_that_is_killed_in_the_middle_leaves_nothing(
        self, journal: Journal, land: Callable[[Flushes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Taking over ends it; then the new owner derives all of it."""
        flushes = Flushes(14)
        land(flushes)
        connection = connect(journal.connection.settings)
        touches = MINUTE.branches[0]
        slowly = {**touches.measures, "clicks": "toInt64(sum(sleepEachRow(0.1)))"}
        slow = replace(MINUTE, branches=(replace(touches, measures=slowly),))
        monkeypatch.setitem(_SETTINGS, "function_sleep_max_microseconds_per_block", 1 << 40)
        monkeypatch.setitem(_SETTINGS, "max_block_size", 1)
        with ThreadPoolExecutor(1) as former:
            running = former.submit(derive, Journal(connection, "group"), slow, SOURCES, TOKEN)
            sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] LIKE 'funnel derive%'"
            while not journal.connection.query(sql)[0][0]:
                assert not running.done()
            journal.take_ownership(SOURCES, TOKEN + 1)
            assert isinstance(running.exception(), Unavailable)
        connection.close()
        assert rollup_fences(journal.connection, MINUTE, SOURCES) == dict.fromkeys(SOURCES, -1)
        derive_all(journal, token=TOKEN + 1)
        assert found(journal.connection) == expected(flushes.rows)


class TestUnknownOutcomes:
    def test_landed_but_the_answer_was_lost(self, journal: Journal, land: Callable[[Flushes], None]) -> None:
        flushes = Flushes()
        land(flushes)
        derive(
            journal, MINUTE, SOURCES, TOKEN
        )  # Its answer never arrived; a new process starts from the fences.
        land(flushes)
        derive_all(Journal(journal.connection, "group"))
        assert found(journal.connection) == expected(flushes.rows)

    def test_lands_after_its_repetition(
        self, journal: Journal, land: Callable[[Flushes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The first statement is still on its way when the second one, which also covers a new flush, lands.

        fences read       statement 1 sent ......................... arrives: refused as a repetition
               fences read       flush      statement 2 lands
        """
        flushes = Flushes()
        land(flushes)
        with held_back(monkeypatch) as late:
            derive(journal, MINUTE, SOURCES, TOKEN)
        land(flushes)
        derive(journal, MINUTE, SOURCES, TOKEN)
        journal.connection.execute(*late[0])
        assert found(journal.connection) == expected(flushes.rows)
        assert derive(journal, MINUTE, SOURCES, TOKEN).rows == 0

    def test_lands_before_its_repetition(
        self, journal: Journal, land: Callable[[Flushes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The second statement has read its fences before the first one lands, and covers more. It is dropped, and what it covered comes later."""
        flushes = Flushes()
        land(flushes)
        with held_back(monkeypatch) as late:
            derive(journal, MINUTE, SOURCES, TOKEN)
            land(flushes)
            derive(journal, MINUTE, SOURCES, TOKEN)
        for one in late:
            journal.connection.execute(*one)
        derive_all(journal)
        assert found(journal.connection) == expected(flushes.rows)


class TestRebuild:
    def test_equals_incremental(self, journal: Journal, land: Callable[[Flushes], None]) -> None:
        flushes = Flushes(6)
        for _ in range(4):
            land(flushes)
            derive_all(journal)
        before = found(journal.connection)
        steps: list[int] = []
        assert rebuild(journal, MINUTE, limit=1, progress=steps.append) == sum(steps) > 0
        assert len(steps) == 4
        assert found(journal.connection) == before == expected(flushes.rows)
        assert rollup_fences(journal.connection, MINUTE, SOURCES) == flushes.offsets

    @by_grain
    def test_mends_a_spoilt_rollup(
        self, journal: Journal, land: Callable[[Flushes], None], rollup: Rollup
    ) -> None:
        flushes = Flushes(7)
        land(flushes)
        derive_all(journal, rollup)
        journal.connection.execute(f"INSERT INTO {rollup.table} (bucket, clicks) VALUES (1760000000, 5)")
        rebuild(journal, rollup)
        assert found(journal.connection, rollup.table) == expected(flushes.rows, SECONDS[rollup.name])

    def test_takes_the_sources_from_a_worker_that_still_runs(
        self, journal: Journal, land: Callable[[Flushes], None]
    ) -> None:
        flushes = Flushes()
        land(flushes)
        rebuild(journal, MINUTE)
        with pytest.raises(NotOwner):
            land(flushes)

    def test_of_an_empty_journal(self, journal: Journal) -> None:
        assert rebuild(journal, MINUTE) == 0

    def test_an_exchange_that_arrives_late_finds_no_table(
        self, journal: Journal, land: Callable[[Flushes], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """
        first    fills, exchanges ·········▶ arrives
        second                        fills ··│····▶ exchanges
        """
        flushes, late = Flushes(12), list[str]()
        for _ in range(3):
            land(flushes)
        derive_all(journal)
        execute = Connection.execute

        def held(self: Connection, sql: str, settings: Any = None) -> None:
            if sql.startswith("EXCHANGE"):
                late.append(sql)
                raise InterruptedError
            execute(self, sql, settings)

        def arrives(_records: int) -> None:
            with pytest.raises(Refused):
                journal.connection.execute(late[0])
            assert found(journal.connection) == expected(flushes.rows)

        with monkeypatch.context() as patched, pytest.raises(InterruptedError):
            patched.setattr(Connection, "execute", held)
            rebuild(journal, MINUTE)
        rebuild(journal, MINUTE, limit=1, progress=arrives)
        assert found(journal.connection) == expected(flushes.rows)


def test_a_new_rollup_is_filled_from_the_start(journal: Journal, land: Callable[[Flushes], None]) -> None:
    flushes = Flushes(8)
    for _ in range(3):
        land(flushes)
    derive_all(journal)
    journal.connection.execute("CREATE TABLE rollup_other AS rollup_minute")
    derive_all(journal, replace(MINUTE, table="rollup_other"), limit=100)
    assert found(journal.connection, "rollup_other") == found(journal.connection)
    journal.connection.execute("DROP TABLE rollup_other")


class TestCreate:
    def test_makes_the_table_and_fills_it(self, journal: Journal, land: Callable[[Flushes], None]) -> None:
        flushes = Flushes(11)
        for _ in range(3):
            land(flushes)
        derive_all(journal)
        other = replace(MINUTE, name="other", table="rollup_other")
        assert create(journal, other, like=MINUTE) == sum(
            row["kind"] not in ("count", "credit", "flush") for row in flushes.rows
        )
        assert (
            found(journal.connection, "rollup_other") == found(journal.connection) == expected(flushes.rows)
        )
        assert create(journal, other, like=MINUTE) == 0
        journal.connection.execute("DROP TABLE rollup_other")

    def test_interrupted_it_goes_on(self, journal: Journal, land: Callable[[Flushes], None]) -> None:
        """
        fences    |--flush 1--|✗             interrupted after the first statement
        again                 |--flush 2--|--flush 3--|
        """
        flushes = Flushes(12)
        for _ in range(3):
            land(flushes)

        def interrupt(_rows: int) -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            create(journal, HOUR, like=MINUTE, limit=1, progress=interrupt)
        create(journal, HOUR, like=MINUTE, limit=1)
        assert found(journal.connection, HOUR.table) == expected(flushes.rows, SECONDS["hour"])
        assert rollup_fences(journal.connection, HOUR, SOURCES) == flushes.offsets


def test_what_the_journal_no_longer_holds_is_noticed(
    journal: Journal, land: Callable[[Flushes], None]
) -> None:
    flushes = Flushes(13)
    land(flushes)
    assert missing_rows(journal.connection) == 0
    gone = sum(row["kind"] == "impression" for row in flushes.rows)
    journal.connection.execute("ALTER TABLE journal DELETE WHERE kind = 'impression'", {"mutations_sync": 2})
    assert missing_rows(journal.connection) == gone > 0
    before = found(journal.connection)
    with pytest.raises(OfflineError, match=f"no longer holds {gone}"):
        rebuild_now(journal, MINUTE, lambda rows: None, accept_loss=False)
    assert found(journal.connection) == before


def test_reads_only_new_rows(journal: Journal, land: Callable[[Flushes], None]) -> None:
    """The table's order finds what is new: the rows read do not grow with the journal."""
    flushes = Flushes(9)
    old = flushes.flush([flushes.touch()])
    flushes.rows.clear()
    journal.insert(
        journal.pack(
            pl.concat([old[:1].join(pl.DataFrame({"n": range(60_000)}), how="cross").drop("n"), old[1:]])
        ),
        "old",
        SOURCES,
        TOKEN,
    )
    derive_all(journal)
    land(flushes)
    connection = journal.connection
    ranges = waiting(connection, rollup_fences(connection, MINUTE, SOURCES), 1_000_000)
    select = statement(MINUTE, ranges, TOKEN).partition(") ")[2]
    read = sum(int(row[3]) for row in connection.query(f"EXPLAIN ESTIMATE {select}") if row[1] == "journal")
    assert 0 < read < 60_000
