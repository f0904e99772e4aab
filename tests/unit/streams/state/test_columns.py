import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state.columns import compacted


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 50))
def test_it_begins_with_the_rows_that_stay(keep: list[bool], least: int) -> None:
    column = np.arange(len(keep))
    rows = np.flatnonzero(keep)
    result = compacted(column.copy(), rows, least)
    assert result[: len(rows)].tolist() == column[rows].tolist()
    assert len(result) <= max(4 * len(rows), least, 1)


@pytest.mark.parametrize(("rows", "same"), [(100, True), (25, True), (24, False), (0, False)])
def test_it_is_another_where_that_can_be_much_smaller(rows: int, same: bool) -> None:
    column = np.arange(100)
    assert (compacted(column, np.arange(rows), 10) is column) == same


def test_the_smallest_stays() -> None:
    column = np.arange(10)
    assert compacted(column, np.arange(0), 10) is column
