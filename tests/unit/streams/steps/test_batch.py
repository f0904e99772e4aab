import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.steps.batch import RawBatch, after, joined, split_at


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


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 14))
def test_a_cut_loses_nothing(times: list[int], count: int) -> None:
    whole = batch(times)
    taken, rest = split_at(whole, count)
    assert len(taken) == min(count, len(times))
    parts = [taken] if rest is None else [taken, rest]
    assert [value for part in parts for value in part.value] == whole.value
    assert np.concatenate([part.record_time for part in parts]).tolist() == times


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
