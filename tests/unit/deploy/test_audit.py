"""The audit of one source: whatever is taken away or added is named, at the first place."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.audit import Flush, audit_source

SOURCE = "cluster/clicks/0"


def flush(first: int, last: int, duplicates: int = 0, rejects: int = 0, **other: int) -> Flush:
    """A flush that is as it should be, but for ``other``."""
    received = last - first + 1
    journaled = received - duplicates - rejects
    whole = Flush(
        first, last, received, journaled, duplicates, rejects, journaled, rejects, journaled + rejects
    )
    return whole._replace(**other)


def parts(flushes: list[Flush], start: int = 0, end: int = 30) -> str:
    return audit_source(SOURCE, start, end, np.arange(start, end), flushes).part


GOOD = [flush(0, 9, duplicates=2), flush(10, 19, rejects=1), flush(20, 24)]


def test_a_whole_ledger_agrees_and_says_what_is_to_be_read() -> None:
    audit = audit_source(SOURCE, 0, 30, np.arange(30), GOOD)
    assert audit == (SOURCE, 30, 25, 2, 1, 5, "")


@pytest.mark.parametrize(
    ("flushes", "part"),
    [
        ([GOOD[0], GOOD[2]], "offset 10: 10 records up to 19 were never read"),
        ([GOOD[1], GOOD[2]], "offset 0: 10 records up to 9 were never read"),
        ([GOOD[0], flush(8, 19), GOOD[2]], "offset 8: read twice, up to 9"),
        ([flush(0, 9, received=11)], "offset 0 (flush up to 9): 11 received, 10 + 0 + 0 accounted for"),
        (
            [flush(0, 9, received=11, journaled=11)],
            "offset 0 (flush up to 9): the log has 10 records, the ledger 11",
        ),
        ([GOOD[0], flush(10, 19, found=9)], "offset 10 (flush up to 19): the journal has 9 of 10 rows"),
        (
            [flush(0, 9, rejects=2, found_rejects=1)],
            "offset 0 (flush up to 9): the journal has 1 of 2 rejects",
        ),
        ([flush(0, 9, found_offsets=9)], "offset 0 (flush up to 9): a record has more than one row"),
        ([flush(0, 34)], "offset 0 (flush up to 34): the log has 30 records, the ledger 35"),
    ],
)
def test_the_first_place_where_they_part_is_named(flushes: list[Flush], part: str) -> None:
    assert parts(flushes) == part


def test_a_ledger_beyond_the_end_of_the_log_is_of_another_log() -> None:
    flushes = [flush(0, 9)._replace(last=40)]
    assert parts(flushes, start=5).startswith("offset 30: the log ends before it, the ledger goes on to 40")


def test_what_the_log_no_longer_holds_is_taken_on_the_ledgers_word() -> None:
    assert parts(GOOD, start=13) == ""


def test_offsets_without_a_record_are_no_loss() -> None:
    offsets = np.array([0, 1, 2, 5, 6, 9])
    flushes = [flush(0, 2), flush(5, 6), flush(9, 9)]
    assert audit_source(SOURCE, 0, 11, offsets, flushes).part == ""


@given(st.lists(st.integers(1, 9), min_size=2, max_size=8), st.data())
def test_any_flush_that_is_missing_or_doubled_is_noticed_where_it_stood(
    sizes: list[int], data: st.DataObject
) -> None:
    bounds = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    flushes = [flush(first, behind - 1) for first, behind in itertools.pairwise(bounds)]
    victim = data.draw(st.integers(0, len(flushes) - 2))
    missing = flushes[:victim] + flushes[victim + 1 :]
    doubled = flushes[: victim + 1] + flushes[victim:]
    place = f"offset {flushes[victim].first}:"
    assert parts(flushes, end=bounds[-1]) == ""
    assert parts(missing, end=bounds[-1]).startswith(place)
    assert parts(doubled, end=bounds[-1]).startswith(place)
