"""What a worker restores and looks up, beside the rows themselves."""

import uuid
from collections.abc import Iterable
from typing import Any

import polars as pl
import pytest

from schemas.ids import mint
from schemas.partitioning import partition_for
from sinks.clickhouse import history
from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import Refused
from sinks.clickhouse.history import History
from sinks.clickhouse.journal import Journal
from streams.state.hashing import hash_of
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

PARTITIONS = 3
DAY = 24 * 3_600_000
SOURCES = [
    source(topic, number)
    for topic in ("impressions", "clicks", "leads", "conversions", "credit-requests", "links")
    for number in range(PARTITIONS)
]


class Stored:
    """A journal, what was written to it, and the questions to it."""

    def __init__(self, connection: Connection) -> None:
        self.flushes = Flushes(11)
        self.journal = Journal(connection, "group")
        self.journal.take_ownership(SOURCES, TOKEN)
        self.history = History(connection)

    def land(self, *records: dict[str, Any], ingested: int = NOW) -> None:
        block = self.journal.pack(self.flushes.flush(list(records), ingested))
        self.journal.insert(block, uuid.uuid4().hex, SOURCES, TOKEN)

    def rows(
        self, kind: str, floor: int = 0, numbers: tuple[int, ...] = tuple(range(PARTITIONS))
    ) -> list[dict[str, Any]]:
        return [
            row
            for row in self.flushes.rows
            if row["kind"] == kind and row["_record_time"] > floor and number_of(row["route"]) in numbers
        ]


def number_of(route: str) -> int:
    return partition_for(route.encode(), PARTITIONS)


def event_ids(frame: pl.DataFrame) -> set[int]:
    return {high << 64 | low for high, low in frame.select("event_hi", "event_lo").iter_rows()}


def whole(frames: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The blocks of a result as one frame; each has Enums of its own."""
    return pl.concat([frame.with_columns(pl.col(pl.Enum).cast(pl.String)) for frame in frames])


def ids_of(rows: list[dict[str, Any]]) -> set[int]:
    return {row["event_hi"] << 64 | row["event_lo"] for row in rows}


def newest_of(stored: Stored, numbers: tuple[int, ...]) -> dict[tuple[str, int], int]:
    return {
        (kind, number): max(row["_record_time"] for row in stored.rows(kind, numbers=(number,)))
        for kind in ("impression", "click", "lead")
        for number in numbers
        if stored.rows(kind, numbers=(number,))
    }


@pytest.fixture
def stored(emptied: Connection) -> Stored:
    return Stored(emptied)


@pytest.fixture
def week(stored: Stored) -> Stored:
    """Touches of a week, a flush per day."""
    for day in range(7):
        when = NOW - (6 - day) * DAY
        touches = [
            stored.flushes.touch(kind, _record_time=when + n)
            for n in range(30)
            for kind in ("impression", "click", "lead")
        ]
        stored.land(*touches, ingested=when + 1000)
    return stored


class TestHotWindow:
    def test_of_an_empty_journal(self, stored: Stored) -> None:
        asked = stored.history
        assert asked.newest([0], PARTITIONS) == {}
        assert not asked.holds_older({0: NOW}, PARTITIONS)
        assert asked.rows({0: 0}) == {}
        assert list(asked.ids("click", {0: 0}, PARTITIONS)) == []
        assert list(asked.touches({0: 0}, PARTITIONS)) == []
        assert [frame.height for frame in asked.requests({0: 0}, PARTITIONS)] == [0, 0]

    @pytest.mark.parametrize("numbers", [(0,), (1, 2), (0, 1, 2)])
    def test_newest(self, week: Stored, numbers: tuple[int, ...]) -> None:
        assert week.history.newest(numbers, PARTITIONS) == newest_of(week, numbers)

    def test_newest_where_only_old_rows_are(self, week: Stored) -> None:
        """One partition has been silent for days: its newest record is not the journal's."""
        wanted = number_of(mint())
        while number_of(visitor := mint()) == wanted:
            pass
        week.land(week.flushes.touch(visitor=visitor, _record_time=NOW + 90 * DAY), ingested=NOW + 90 * DAY)
        everywhere = tuple(range(PARTITIONS))
        assert week.history.newest(everywhere, PARTITIONS) == newest_of(week, everywhere)
        assert week.history.newest([wanted], PARTITIONS) == newest_of(week, (wanted,))

    def test_holds_older(self, week: Stored) -> None:
        oldest = min(
            row["_record_time"]
            for row in week.rows("click", numbers=(1,))
            + week.rows("lead", numbers=(1,))
            + week.rows("impression", numbers=(1,))
        )
        assert week.history.holds_older({1: oldest}, PARTITIONS)
        assert not week.history.holds_older({1: oldest - 1}, PARTITIONS)

    @pytest.mark.parametrize("numbers", [(2,), (0, 1, 2)])
    def test_ids(self, week: Stored, numbers: tuple[int, ...]) -> None:
        floor = NOW - 2 * DAY
        frame = whole(week.history.ids("impression", dict.fromkeys(numbers, floor), PARTITIONS))
        rows = week.rows("impression", floor, numbers)
        found = set(frame.select("event_hi", "event_lo", "content", "_record_time", "_partition").iter_rows())
        assert found == {
            (row["event_hi"], row["event_lo"], row["content"], row["_record_time"], number_of(row["route"]))
            for row in rows
        }

    def test_each_partition_goes_by_its_own_floor(self, week: Stored) -> None:
        floors = {0: NOW - 5 * DAY, 1: NOW - DAY, 2: NOW + DAY}
        rows = [row for number, floor in floors.items() for row in week.rows("click", floor, (number,))]
        assert event_ids(whole(week.history.ids("click", floors, PARTITIONS))) == ids_of(rows)
        assert week.history.holds_older(floors, PARTITIONS)
        assert not week.history.holds_older({**dict.fromkeys(range(3), 0), 1: 1}, PARTITIONS)

    def test_touches(self, week: Stored) -> None:
        floor = NOW - 3 * DAY
        frame = whole(week.history.touches({0: floor, 2: floor}, PARTITIONS))
        rows = week.rows("click", floor, (0, 2)) + week.rows("lead", floor, (0, 2))
        assert event_ids(frame) == ids_of(rows)
        by_id = {row["event_hi"]: dict(row) for row in rows}
        for found in frame.iter_rows(named=True):
            row = by_id[found["event_hi"]]
            row |= {name: hash_of(row.get(name, "")) for name in ("visitor_id", "click_id", "lead_id")}
            assert number_of(found["route"]) == found["_partition"]
            assert {name: row.get(name, "") for name in found if name in row} == {
                name: found[name] for name in found if name in row
            }

    def test_touches_with_impressions(self, week: Stored) -> None:
        frame = whole(week.history.touches({0: NOW - DAY}, PARTITIONS, impressions=True))
        assert set(frame["kind"]) == {"impression", "click", "lead"}

    def test_requests_stand_with_their_credits_in_force(self, stored: Stored) -> None:
        """Revision 2 stands; of the credits, those not taken back."""
        make, route = stored.flushes, mint()[:4]
        stored.land(
            make.request(route, 1, _record_time=NOW - 9 * DAY, click_id="first's"),
            *(make.credit(1, model, route, 100) for model in ("a", "b")),
        )
        stored.land(
            make.request(route, 2, _record_time=NOW, click_id="second's"),
            make.credit(-1, "a", route, 100),
            make.credit(1, "a", route, 300),
        )
        stored.land(make.request(mint()[:4], 1, transaction_id="old", _record_time=NOW - 9 * DAY))
        requests, credits = stored.history.requests(dict.fromkeys(range(PARTITIONS), NOW - DAY), PARTITIONS)
        assert requests.select("transaction_id", "route", "revision", "moved").rows() == [("t", route, 2, 0)]
        assert sorted(requests["former"][0]) == sorted(map(hash_of, ("", "first's", "second's")))
        assert sorted(credits.select("model", "value", "touch_lo", "weight").iter_rows()) == [
            ("a", 300, 300, 10**9),
            ("b", 100, 100, 10**9),
        ]

    def test_rows_after_the_lowest_floor(self, stored: Stored) -> None:
        """Of links those that bring touches."""
        touch = stored.flushes.touch
        stored.land(
            *(touch(kind, _record_time=NOW) for kind in ("click", "click", "lead")),
            touch("click", _record_time=NOW - 2 * DAY),
            link("zzzz", "touch", origin="y"),
            link("zzzz", "claim", identity_key="email x"),
        )
        assert stored.history.rows({0: NOW, 1: NOW - DAY}) == {"click": 2, "lead": 1, "link": 1}


def test_texts_are_hashed_as_they_are_here(stored: Stored) -> None:
    """Of all lengths that the algorithm treats in its own way, by what the questions ask with."""
    texts = [("é" + "x" * length)[-length:] if length else "" for length in range(100)]
    asked = f"SELECT text, {history._hash('text')} AS hash FROM (SELECT arrayJoin({texts}) AS text)"
    found = stored.journal.connection.query_frame(asked)
    assert found["hash"].to_list() == [hash_of(text) for text in found["text"].to_list()]
    assert sorted(found["text"]) == sorted(texts)


class TestLinks:
    def test_pairs_come_in_their_order_and_touches_with_whose_they_were(self, stored: Stored) -> None:
        big, small, other = (mint(route) for route in ("zzzz", "aaaa", "bbbb"))
        stored.land(link(big, "pair", winner=other), link(small, "touch", origin=big, touch_hi=0, touch_lo=7))
        stored.land(
            link(big, "pair", winner=small), link(big, "pair"), link("zzzz", "claim", identity_key="email x")
        )
        links = stored.history.links(range(PARTITIONS), PARTITIONS)
        pairs = links.filter(pl.col("origin") == "").select("visitor_id", "winner").rows()
        assert pairs == [(big, other), (big, small), (big, "")]
        assert links.filter(pl.col("origin") != "").select("visitor_id", "origin").rows() == [(small, big)]
        touches = whole(stored.history.touches(dict.fromkeys(range(PARTITIONS), 0), PARTITIONS))
        cold = stored.history.cold_touches_on(["aaaa"], PARTITIONS)
        for frame in (touches, cold):
            assert frame.select("kind", "visitor_id", "origin", "event_lo").rows() == [
                ("click", hash_of(small), hash_of(big), 7)
            ]

    def test_claims_of_the_routes_asked_for(self, stored: Stored) -> None:
        for route, key in (("aaaa", "email x"), ("bbbb", "email y"), ("aaaa", "phone x")):
            stored.land(link("v", "claim", identity_key=key) | {"route": route})
        claims = stored.history.claims_on(["aaaa"], PARTITIONS)
        assert claims.select("identity_key", "visitor_id").rows() == [("email x", "v"), ("phone x", "v")]
        assert stored.history.claims_on([], PARTITIONS).height == 0

    def test_ids_that_lead_to_other_routes(self, stored: Stored) -> None:
        """Of each visitor the earliest touch, where only some routes are asked for; of an id as many visitors as tell that it is crowded."""
        alias = {"identity_key": "gclid-1", "route": "cccc", "touch_hi": 1 << 63}
        stored.land(
            link("v", "alias", **alias, touch_lo=1, occurred_at=NOW - 10),
            link("v", "alias", **alias, touch_lo=0, occurred_at=NOW - 10),
            link("v", "alias", **alias, touch_lo=5, occurred_at=NOW - 5),
            *(link(f"w{n}", "alias", identity_key="undefined", route="cccc") for n in range(9)),
            link("v", "alias", identity_key="gclid-2", route="dddd"),
        )
        hot = whole(stored.history.aliases(dict.fromkeys(range(PARTITIONS), 0), PARTITIONS))
        assert hot.height == 13
        cold = stored.history.cold_aliases_on(["cccc"], PARTITIONS, 3)
        assert hot.columns == cold.columns and hot.schema == cold.schema
        mine = cold.filter(identity_key="gclid-1")
        assert mine.select(
            "kind", "visitor_id", "occurred_at", "event_hi", "event_lo", "_partition"
        ).rows() == [("click", "v", NOW - 10, 1 << 63, 0, number_of("cccc"))]
        assert cold.filter(identity_key="undefined")["visitor_id"].n_unique() == 4 == cold.height - 1


def link(visitor: str, purpose: str, **values: Any) -> dict[str, Any]:
    """A row of kind link on the visitor's route."""
    touch = {"touch_kind": "click"} if purpose in ("touch", "alias") else {}
    route = visitor[:4].ljust(4, "a")
    made = {"purpose": purpose, "visitor_id": visitor, "route": route, "occurred_at": NOW, **touch, **values}
    return {"kind": "link", "_source": source("links", number_of(route)), "_record_time": NOW, **made}


class TestCold:
    def test_transactions(self, stored: Stored) -> None:
        make = stored.flushes.conversion
        stored.land(
            *(make(status, transaction_id=f"t{n}") for status in ("pending", "approved") for n in range(20))
        )
        keys = [("p", "t3"), ("p", "t7"), ("other", "t3"), ("p", "it's \\ none")]
        frame = stored.history.cold_transactions(keys, PARTITIONS)
        assert sorted(frame.select("transaction_id", "status").iter_rows()) == [
            (name, status) for name in ("t3", "t7") for status in ("approved", "pending")
        ]
        assert stored.history.cold_transactions([], PARTITIONS).height == 0

    def test_requests(self, stored: Stored) -> None:
        """All that stand on the routes asked for, with their credits in force; nothing of other routes."""
        make, routes = stored.flushes, [mint()[:4] for _ in range(3)]
        for revision in (1, 2):
            stored.land(
                *(
                    make.request(route, revision, transaction_id=name)
                    for route in routes
                    for name in ("t1", "t2")
                )
            )
        credits = [make.credit(1, "m", route, 5, transaction_id="t1") for route in routes]
        taken_back = make.credit(-1, "m", routes[1], 5, transaction_id="t1")
        stored.land(make.request(routes[0], 3, transaction_id="t1"), *credits, taken_back)
        requests, in_force = stored.history.cold_requests_on(routes[:2], PARTITIONS)
        assert sorted(requests.select("route", "transaction_id", "revision").iter_rows()) == sorted(
            [(routes[0], "t1", 3), (routes[0], "t2", 2), (routes[1], "t1", 2), (routes[1], "t2", 2)]
        )
        assert in_force.select("transaction_id", "route", "value").rows() == [("t1", routes[0], 5)]
        assert [frame.height for frame in stored.history.cold_requests_on([], PARTITIONS)] == [0, 0]

    def test_touches(self, week: Stored) -> None:
        """Clicks and leads of the routes asked for, of all times; no impressions, and nothing of other routes."""
        make = week.flushes
        visitors = [mint() for _ in range(3)]
        for visitor in visitors:
            week.land(
                *(make.touch(kind, visitor=visitor) for kind in ("click", "click", "lead", "impression"))
            )
        frame = week.history.cold_touches_on([visitor[:4] for visitor in visitors[:2]], PARTITIONS)
        mine = [row for row in make.rows if row.get("visitor_id") in visitors[:2]]
        assert event_ids(frame) == ids_of([row for row in mine if row["kind"] != "impression"])
        assert week.history.cold_touches_on([], PARTITIONS).height == 0

    def test_ten_thousand_keys(self, stored: Stored) -> None:
        make = stored.flushes
        stored.land(*(make.conversion("pending", transaction_id=f"transaction {n}") for n in range(0, 100)))
        keys = [("p", f"transaction {n}") for n in range(10_000)]
        assert stored.history.cold_transactions(keys, PARTITIONS).height == 100

    def test_reads_little_of_a_large_journal(self, stored: Stored, monkeypatch: pytest.MonkeyPatch) -> None:
        """The projection by route finds the rows, the table's order reads them: a few granules, not the journal."""
        make = stored.flushes
        flush = make.flush([make.touch()])
        many = (
            flush[:1]
            .join(pl.DataFrame({"n": range(300_000)}), how="cross")
            .drop("n")
            .with_columns(
                _offset=pl.int_range(pl.len()),
                route=("a" + (pl.int_range(pl.len()) % 1000).cast(pl.String).str.pad_start(3, "0")),
            )
        )
        stored.journal.insert(stored.journal.pack(pl.concat([many, flush[1:]])), "a", SOURCES, TOKEN)
        stored.land(make.touch(visitor="zzzz" + "q" * 26))
        # The server refuses a query as soon as it sees that more rows would have to be read.
        monkeypatch.setattr(history, "_LARGE", {**history._LARGE, "max_rows_to_read": 50_000})
        assert stored.history.cold_touches_on(["zzzz"], PARTITIONS).height == 1
        with pytest.raises(Refused, match="Limit for rows"):
            list(stored.history.touches(dict.fromkeys(range(PARTITIONS), 0), PARTITIONS))
