from collections.abc import Callable, Iterable

import pytest

from deploy.backlog import Backlog
from deploy.drained import NotDrained, wait_until_drained

NOTHING = Backlog(0, 0, 9)


def answers(*backlogs: Backlog) -> tuple[Callable[[], Backlog], list[Backlog]]:
    """A look that gives these one after another, then fails; and what it has given."""
    given: list[Backlog] = []
    rest: Iterable[Backlog] = iter(backlogs)

    def look() -> Backlog:
        given.append(next(iter(rest)))
        return given[-1]

    return look, given


def test_it_waits_for_the_journal_and_then_for_the_rollup() -> None:
    look, given = answers(Backlog(5, 0, 9), Backlog(0, 5, 9), NOTHING, NOTHING)
    shown: list[Backlog] = []
    wait_until_drained(look, shown.append, pause=0)
    assert shown == given == [Backlog(5, 0, 9), Backlog(0, 5, 9), NOTHING, NOTHING]


def test_hops_that_follow_what_has_just_landed_are_waited_for() -> None:
    grown = Backlog(0, 0, 10)
    look, given = answers(NOTHING, Backlog(1, 0, 10), grown, grown)
    wait_until_drained(look, pause=0)
    assert len(given) == 4


def test_hops_that_have_landed_between_two_looks_may_have_sent_more() -> None:
    look, given = answers(NOTHING, Backlog(0, 0, 10), Backlog(0, 0, 11), Backlog(0, 0, 11))
    wait_until_drained(look, pause=0)
    assert len(given) == 4


def test_a_backlog_that_stands_still_is_an_error_that_says_how_much() -> None:
    with pytest.raises(NotDrained, match="3 records to land and 4 to derive") as caught:
        wait_until_drained(lambda: Backlog(3, 4, 9), patience=0, pause=0.001)
    assert caught.value.backlog == Backlog(3, 4, 9)


def test_a_look_may_end_the_waiting() -> None:
    def ended(_: Backlog) -> None:
        raise RuntimeError("the worker has ended")

    with pytest.raises(RuntimeError, match="has ended"):
        wait_until_drained(lambda: Backlog(3, 4, 9), ended, pause=0)
