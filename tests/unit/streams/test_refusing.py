"""Which records are to blame, found by trying halves:

records   0 1 2 ✗ 4 5 6 7     whole ✗    0–3 ✗  4–7 ok    0–1 ok  2–3 ✗    2 ok  3 ✗
"""

import math

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sinks.clickhouse.errors import Refused
from streams.refusing import DETAIL, MOST_REFUSED, refused_records

TEXT = "DB::Exception: Constraint `fits` for table x.journal_trial_1 is violated at row 3. Column values: a = 'secret'"


def flush(records: int) -> pl.DataFrame:
    """Two rows of each record, over two sources, not in order, and the flush rows."""
    places = [(f"source-{place % 2}", place // 2) for place in range(records)]
    rows = [("conversion", *place) for place in places] + [("count", *place) for place in reversed(places)]
    rows += [("flush", "source-0", records), ("flush", "source-1", records)]
    return pl.DataFrame(rows, schema=["kind", "_source", "_offset"], orient="row")


class Server:
    """Refuses what holds a bad row, and counts how often it is asked."""

    def __init__(self, bad: set[tuple[str, int]], kind: str = "count", text: str = TEXT) -> None:
        self.bad, self.kind, self.text = bad, kind, text
        self.asked = 0

    def refusal(self, frame: pl.DataFrame) -> Refused | None:
        self.asked += 1
        hit = any(row[0] == self.kind and row[1:] in self.bad for row in frame.iter_rows())
        return Refused(469, self.text) if hit else None


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=5))
def test_exactly_the_bad_records_are_found(records: int, chosen: set[int]) -> None:
    bad = {(f"source-{place % 2}", place // 2) for place in chosen if place < records}
    server = Server(bad)
    assert refused_records(flush(records), server.refusal).keys() == bad
    assert server.asked <= 2 + 2 * len(bad) * math.ceil(math.log2(records) + 1)


def test_the_reason_has_no_values_and_is_short() -> None:
    bad = {("source-0", 1)}
    assert refused_records(flush(8), Server(bad).refusal) == {("source-0", 1): "469: Constraint `fits`"}
    (reason,) = refused_records(flush(8), Server(bad, text="x" * 1_000).refusal).values()
    assert len(reason) == DETAIL


def test_a_refused_flush_row_is_no_record_s_fault() -> None:
    assert refused_records(flush(8), lambda frame: Refused(469, TEXT)) == {}


def test_too_many_are_no_matter_of_records() -> None:
    places = {(f"source-{number}", offset) for number in range(2) for offset in range(400)}
    server = Server(places)
    assert refused_records(flush(800), server.refusal) == {}
    assert server.asked < 4 * MOST_REFUSED
