"""Walking along flushes: what is missing, and what is there twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ledger import Walked, walk


@pytest.mark.parametrize(
    ("expected", "ranges", "walked"),
    [
        (None, [], Walked(None, 0, 0)),
        (None, [(5, 9), (10, 12)], Walked(13, 0, 0)),
        (5, [(5, 9)], Walked(10, 0, 0)),
        (5, [(7, 9)], Walked(10, 2, 0)),
        (5, [(3, 9)], Walked(10, 0, 2)),
        (10, [(5, 9)], Walked(10, 0, 5)),
        (None, [(0, 4), (0, 4)], Walked(5, 0, 5)),
        (None, [(0, 4), (8, 9), (9, 12)], Walked(13, 3, 1)),
    ],
)
def test_walk(expected: int | None, ranges: list[tuple[int, int]], walked: Walked) -> None:
    assert walk(expected, ranges) == walked


@given(st.lists(st.integers(1, 9), min_size=1), st.integers(0, 20), st.data())
def test_flushes_that_follow_one_another_leave_nothing(
    sizes: list[int], start: int, data: st.DataObject
) -> None:
    """And wherever the walk is interrupted, it goes on to the same end."""
    ranges = []
    for size in sizes:
        ranges.append((start, start + size - 1))
        start += size
    cut = data.draw(st.integers(0, len(ranges)))
    first = walk(None, ranges[:cut])
    assert walk(first.expected, ranges[cut:]) == walk(None, ranges) == Walked(start, 0, 0)
