"""What a touch makes a worker look up: the journal's part is played by frames.

journal   click c1 of v9 (cold) ---- request naming c1 (hot)
arrives   a click of v9, after the hot window's floor: it concerns the request, but only the cold click says so
"""

from typing import Any, cast

import polars as pl
from tenacity import Retrying, stop_after_attempt

from sinks.clickhouse.history import History
from streams.cold import AHEAD_MS, Cold, put_requests
from streams.state.hashing import string_hashes
from streams.state.partition import PartitionState, empty_partition
from tests.unit.streams.test_crediting import ROUTE, Ledger, click, request, touch_frame

FLOOR = 10


NO_ALIASES = pl.DataFrame(schema={"_partition": pl.UInt16, "kind": pl.String})


class Journal:
    """Answers with what a ledger holds, and notes the routes asked for."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.asked: list[list[str]] = []

    def cold_touches_on(self, routes: list[str], _partitions: int, _kinds: list[str]) -> pl.DataFrame:
        self.asked.append(routes)
        return touch_frame(self.ledger.touches).with_columns(_partition=0)

    def cold_aliases_on(self, _routes: list[str], _partitions: int, _limit: int) -> pl.DataFrame:
        return NO_ALIASES

    def cold_requests_on(self, _routes: list[str], _partitions: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        return pl.DataFrame(self.ledger.requests), self.ledger.in_force()


def restored(ledger: Ledger) -> tuple[Journal, Cold, PartitionState]:
    """A worker after a restart: the request is in the hot window, its click is not."""
    journal = Journal(ledger)
    cold = Cold(cast(History, journal), 1, Retrying(stop=stop_after_attempt(1)), True)
    state = empty_partition(ledger.settings)
    state.cold_floor = FLOOR
    put_requests({0: state}, pl.DataFrame(ledger.requests), ledger.in_force())
    return journal, cold, state


def arriving(**changes: Any) -> pl.DataFrame:
    return touch_frame([click(2, **{"at": FLOOR + AHEAD_MS + 1, "visitor": "v9"} | changes)]).with_columns(
        _partition=0
    )


def test_a_touch_is_looked_up_where_a_request_has_lost_its_click() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 5, visitor="v9"), request(click_id="c1", visitor_id=""))
    journal, cold, state = restored(ledger)
    visitor = string_hashes(pl.Series(["v9"]))
    assert state.requests.concerned(visitor) == []
    cold.late({0: state}, arriving())
    assert journal.asked == [[ROUTE]]
    assert state.requests.concerned(visitor) == [(0, ("p", "t1", ROUTE, ""))]
    cold.late({0: state}, arriving())
    assert journal.asked == [[ROUTE]], "once"


def test_a_touch_of_another_route_or_of_no_open_request_is_not_looked_up() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 5, visitor="v9"), request(visitor_id="v9"))
    journal, cold, state = restored(ledger)
    cold.late({0: state}, pl.concat([arriving(), arriving(route="bbbb")]))
    assert journal.asked == []


def test_a_touch_older_than_the_window_is_looked_up_in_any_case() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 5, visitor="v9"), request(visitor_id="v9"))
    journal, cold, state = restored(ledger)
    cold.late({0: state}, arriving(at=FLOOR + AHEAD_MS))
    assert journal.asked == [[ROUTE]]


def test_what_times_may_be_ahead_makes_a_touch_older() -> None:
    """A request that was let go may be of a conversion that is later than the window by as much."""
    ledger = Ledger()
    ledger.feed(click(1, 5, visitor="v9"), request(visitor_id="v9"))
    journal, cold, state = restored(ledger)
    cold = cold._replace(ahead_ms=3 * AHEAD_MS)
    cold.late({0: state}, arriving(at=FLOOR + 3 * AHEAD_MS + 1))
    assert journal.asked == []
    cold.late({0: state}, arriving(at=FLOOR + 3 * AHEAD_MS))
    assert journal.asked == [[ROUTE]]


def test_what_earlier_requests_named_is_known_after_a_restart() -> None:
    """Whom it led to may have been paired since, and must be told to take it back."""
    ledger = Ledger()
    ledger.feed(request(click_id="", visitor_id="v2"))
    state = empty_partition(ledger.settings)
    earlier = pl.Series(["", "c1", "v2"])
    requests = pl.DataFrame(ledger.requests).with_columns(former=pl.Series([earlier.to_list()]))
    put_requests({0: state}, requests, ledger.in_force())
    [one] = state.requests.by_key.values()
    assert one.named == set(string_hashes(earlier).tolist()) - {0}
