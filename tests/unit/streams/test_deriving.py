"""When rollups are derived: at the latest every so often, at once where nothing more is on its way."""

import pytest

from streams.deriving import Turn

SECONDS = 30.0


@pytest.mark.parametrize(
    ("now", "mark", "idle", "due"),
    [
        (110.0, "a", False, False),  # nothing new
        (110.0, "a", True, False),  # nothing new, and nothing will come
        (110.0, "b", False, False),  # something new, more is on its way
        (110.0, "b", True, True),  # the end of it
        (100.0 + SECONDS, "a", False, True),  # whatever has landed, it is time
        (100.0 + SECONDS, "b", False, True),
    ],
)
def test_due_by_time_or_at_the_end_of_what_is_on_its_way(
    now: float, mark: str, idle: bool, due: bool
) -> None:
    turn = Turn(SECONDS)
    turn.done(100.0, "a")
    assert turn.is_due(now, mark, idle) == due


def test_the_first_turn_comes_at_once() -> None:
    assert Turn(SECONDS).is_due(0.0, None, False)


def test_what_failed_stays_due() -> None:
    """Without `done` nothing was derived."""
    turn = Turn(SECONDS)
    turn.done(100.0, "a")
    assert turn.is_due(101.0, "b", True)
    assert turn.is_due(102.0, "b", True)
    turn.done(102.0, "b")
    assert not turn.is_due(103.0, "b", True)
