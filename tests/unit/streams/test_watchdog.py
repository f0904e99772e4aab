"""When a worker counts as standing still.

log      ──▶──▶──▶──▶──▶──▶
landed   ──▶ ·  ·  ·  ·  ·     stalled after so many seconds, unless something else shows life
"""

from hypothesis import given
from hypothesis import strategies as st

from streams.unit import Line
from streams.watchdog import Stall

A: Line = ("clicks", 0)
B: Line = ("leads", 1)


def looks(stall: Stall, *seen: tuple[float, dict[Line, int], dict[Line, int], object]) -> list[list[Line]]:
    return [stall.look(positions, ends, alive, now) for now, positions, ends, alive in seen]


def test_a_line_that_stands_still_while_the_log_is_ahead_is_named() -> None:
    found = looks(
        Stall(10),
        (0, {A: 5, B: 7}, {A: 9, B: 7}, 0),
        (9, {A: 5, B: 7}, {A: 12, B: 7}, 0),
        (10, {A: 5, B: 7}, {A: 12, B: 7}, 0),
    )
    assert found == [[], [], [A]]


def test_any_progress_begins_anew() -> None:
    found = looks(
        Stall(10),
        (0, {A: 5}, {A: 9}, 0),
        (9, {A: 6}, {A: 12}, 0),
        (18, {A: 6}, {A: 12}, 0),
        (19, {A: 6}, {A: 12}, 0),
    )
    assert found == [[], [], [], [A]]


def test_attempts_and_new_assignments_are_signs_of_life() -> None:
    assert looks(
        Stall(10), (0, {A: 5}, {A: 9}, "one"), (11, {A: 5}, {A: 9}, "two"), (20, {A: 5}, {A: 9}, "two")
    ) == [[], [], []]


def test_a_line_at_the_end_of_its_log_or_of_which_nothing_is_known_is_not_behind() -> None:
    assert looks(Stall(10), (0, {A: 5, B: 5}, {A: 5}, 0), (99, {A: 5, B: 5}, {A: 5}, 0)) == [[], []]
    # A broker that calls the beginning of the last batch its latest offset.
    assert looks(Stall(10), (0, {A: 5}, {A: 3}, 0), (99, {A: 5}, {A: 3}, 0)) == [[], []]


def test_the_wait_begins_when_a_line_falls_behind_not_before() -> None:
    assert looks(Stall(10), (0, {A: 5}, {A: 5}, 0), (99, {A: 5}, {A: 6}, 0), (105, {A: 5}, {A: 6}, 0)) == [
        [],
        [],
        [],
    ]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30))
def test_whoever_moves_between_looks_is_never_named(steps: list[int]) -> None:
    stall = Stall(10)
    position = 0
    for number, step in enumerate(steps):
        position += step
        assert stall.look({A: position}, {A: position + 100}, 0, number * 50.0) == []
