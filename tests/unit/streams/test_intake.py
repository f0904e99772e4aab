"""Aligned intake, slack 10, hold 100:

clicks       ....20 (behind, first buffered at 20)
conversions  ........35 (waits: 35 > 20 + 10)
"""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.intake import MOST_STEPS, NO_LIMIT, Alignment, Buffer, Head, Holds, due, takeable

ALIGNMENT = Alignment(slack_ms=10, hold_ms=100)


def test_what_is_older_goes_first_and_what_ran_ahead_waits() -> None:
    heads = {"clicks": Head(20, 0, True), "conversions": Head(35, 0, True), "leads": Head(30, 0, True)}
    assert takeable(heads, ALIGNMENT, Holds(), 0) == {"clicks": 40, "leads": 30}


def test_a_partition_at_its_high_watermark_never_holds_others_back() -> None:
    heads = {"clicks": Head(None, 5, False), "conversions": Head(500, 0, True)}
    assert takeable(heads, ALIGNMENT, Holds(), 0) == {"conversions": NO_LIMIT}


def test_a_partition_that_is_behind_holds_others_back_while_its_fetch_is_under_way() -> None:
    heads = {"clicks": Head(None, 5, True), "conversions": Head(500, 0, True)}
    assert takeable(heads, ALIGNMENT, Holds(), 0) == {}


def test_holding_has_a_time_limit() -> None:
    heads = {"clicks": Head(None, 5, True), "conversions": Head(500, 0, True)}
    holds = Holds()
    assert takeable(heads, ALIGNMENT, holds, 1000) == {}
    assert takeable(heads, ALIGNMENT, holds, 1099) == {}
    assert takeable(heads, ALIGNMENT, holds, 1100) == {"conversions": 510}
    assert takeable(heads, ALIGNMENT, holds, 1101) == {}


def buffer(times: list[int], behind: bool = True, reached: int = 0) -> Buffer:
    return Buffer(np.array(times, dtype=np.int64), reached, behind)


def test_one_take_covers_as_many_steps_as_are_due() -> None:
    buffers = {"clicks": buffer([0, 5, 12, 30]), "conversions": buffer([3, 20, 45])}
    assert due(buffers, ALIGNMENT, Holds(), 0, 100) == {"clicks": 4, "conversions": 2}
    for enough in (0, 1):
        assert due(buffers, ALIGNMENT, Holds(), 0, enough) == {"clicks": 3, "conversions": 1}


def test_what_is_not_buffered_yet_holds_back_what_comes_after_the_end_of_a_buffer() -> None:
    buffers = {"clicks": buffer([0, 10]), "conversions": buffer([3, 20, 21])}
    assert due(buffers, ALIGNMENT, Holds(), 0, 100) == {"clicks": 2, "conversions": 2}
    assert due(buffers | {"clicks": buffer([0, 10], behind=False)}, ALIGNMENT, Holds(), 0, 100) == {
        "clicks": 2,
        "conversions": 3,
    }


@given(
    st.lists(st.lists(st.integers(0, 60), max_size=8), min_size=1, max_size=4),
    st.integers(1, 40),
)
def test_takes_of_any_size_hand_out_everything_and_none_runs_ahead(
    logs: list[list[int]], enough: int
) -> None:
    """Everything is buffered and nothing else is in the log: no record is taken more than the slack before an older one (ascending times)."""
    logs = [sorted(log) for log in logs]
    taken: dict[int, int] = dict.fromkeys(range(len(logs)), 0)
    while any(taken[key] < len(log) for key, log in enumerate(logs)):
        buffers: dict[Any, Buffer] = {
            key: buffer(log[taken[key] :], False, log[taken[key] - 1] if taken[key] else 0)
            for key, log in enumerate(logs)
        }
        counts = due(buffers, ALIGNMENT, Holds(), 0, enough)
        assert sum(counts.values()) >= min(enough, sum(len(log) for log in logs) - sum(taken.values()))
        for key, count in counts.items():
            taken[key] += count
        newest = max(log[taken[key] - 1] for key, log in enumerate(logs) if taken[key])
        waiting = [log[taken[key]] for key, log in enumerate(logs) if taken[key] < len(log)]
        assert all(newest <= time + ALIGNMENT.slack_ms for time in waiting)


def test_records_far_apart_do_not_make_an_endless_take() -> None:
    times = list(range(0, 100_000, 100))
    counts = due({"clicks": buffer(times), "conversions": buffer(times)}, ALIGNMENT, Holds(), 0, 10_000)
    assert MOST_STEPS <= sum(counts.values()) <= 2 * MOST_STEPS
