"""One sequential line per partition, whatever is read twice:

next offset 3     batch [1 2 3 4] -> 3 4      batch [3 4 7] -> 7 (a gap in the log is no loss)
"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.steps.batch import RawBatch, joined
from streams.unit import Lines


def batch(offsets: list[int], partition: int = 0, topic: str = "clicks") -> RawBatch:
    n = len(offsets)
    return RawBatch(
        topic,
        np.full(n, partition, dtype=np.int32),
        np.array(offsets, dtype=np.int64),
        np.array(offsets, dtype=np.int64) * 10,
        [b"%d" % offset for offset in offsets],
        [None] * n,
    )


def test_what_was_taken_is_not_taken_again_and_gaps_pass() -> None:
    lines = Lines({("clicks", 0): 3})
    unit = lines.unit([batch([1, 2, 3, 4]), batch([3, 4, 7])])
    assert unit is not None
    assert joined(unit.batches["clicks"]).offset.tolist() == [3, 4, 7]
    tally = unit.tallies["clicks", 0]
    assert (tally.first_offset, tally.last_offset, tally.received, tally.last_time) == (3, 7, 3, 70)
    assert lines.next_offset["clicks", 0] == 8
    assert lines.unit([batch([5, 6, 7])]) is None


def test_a_line_that_is_not_ours_is_dropped_whole() -> None:
    assert Lines({("clicks", 0): 0}).unit([batch([0, 1], partition=1)]) is None


def test_partitions_of_a_topic_are_joined_in_order() -> None:
    lines = Lines({("clicks", 0): 0, ("clicks", 1): 0})
    unit = lines.unit([batch([0, 1], 1), batch([0], 0), batch([2], 1)])
    assert unit is not None
    whole = joined(unit.batches["clicks"])
    assert list(zip(whole.partition.tolist(), whole.offset.tolist(), strict=True)) == [
        (0, 0),
        (1, 0),
        (1, 1),
        (1, 2),
    ]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), min_size=1, max_size=30))
def test_every_record_is_taken_once_and_flushes_leave_no_gap(reads: list[tuple[int, int]]) -> None:
    """Reads start anywhere at or below the next offset (rewinds), as after a rebalance."""
    lines, taken, covered = Lines({("clicks", 0): 0}), [], 0
    for start, count in reads:
        start = min(start, lines.next_offset["clicks", 0])
        unit = lines.unit([batch(list(range(start, start + count)))])
        if unit is not None:
            tally = unit.tallies["clicks", 0]
            assert tally.first_offset == covered
            covered = tally.last_offset + 1
            taken += joined(unit.batches["clicks"]).offset.tolist()
    assert taken == list(range(covered))
