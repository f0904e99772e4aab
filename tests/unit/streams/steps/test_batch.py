import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.steps.batch import RawBatch, after, joined, split_after


def batch(times: list[int], first: int = 0, partition: int = 0) -> RawBatch:
    n = len(times)
    return RawBatch(
        "clicks",
        np.full(n, partition, dtype=np.int32),
        np.arange(first, first + n, dtype=np.int64),
        np.array(times, dtype=np.int64),
        [b"%d" % number for number in range(first, first + n)],
        [None] * n,
    )


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(0, 9))
def test_a_cut_loses_nothing_and_hands_out_at_least_one(times: list[int], limit: int) -> None:
    due, rest = split_after(batch(times), limit)
    assert len(due) >= 1
    assert all(time <= limit for time in due.record_time[1:].tolist())
    assert rest is None or rest.record_time[0] > limit
    assert due.value + (rest.value if rest is not None else []) == batch(times).value


def test_after_an_offset_comes_the_rest() -> None:
    whole = batch([0, 0, 0], first=5)
    assert after(whole, 3) is whole
    assert after(whole, 8) is None
    rest = after(whole, 6)
    assert rest is not None
    assert rest.offset.tolist() == [6, 7]


def test_joining_keeps_each_partition_in_order() -> None:
    whole = joined([batch([1], 0, 1), batch([2], 0, 0), batch([3], 1, 1)])
    assert list(zip(whole.partition.tolist(), whole.offset.tolist(), strict=True)) == [(0, 0), (1, 0), (1, 1)]
