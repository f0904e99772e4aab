"""Since when nothing is taken out of the log."""

from dashboard.reading import Waiting
from deploy.waiting import Standing

A, B = {"clicks/0": 4, "leads/0": 1}, {"clicks/0": 5, "leads/0": 1}


def test_a_standstill_begins_when_something_waits_and_ends_when_a_fence_moves() -> None:
    """
    seconds  100   105   120   125   130   140
    waiting    0     3     3     2     2     0
    fences     A     A     A     B     B     B
    still      0     5    20     0     5     0
    """
    standing = Standing()
    looks = [(100, 0, A), (105, 3, A), (120, 3, A), (125, 2, B), (130, 2, B), (140, 0, B)]
    still = [standing.look(records, fences, float(now)) for now, records, fences in looks]
    assert still == [
        Waiting(0, 0),
        Waiting(3, 5),
        Waiting(3, 20),
        Waiting(2, 0),
        Waiting(2, 5),
        Waiting(0, 0),
    ]


def test_the_first_look_begins_nothing_before_it() -> None:
    assert Standing().look(7, {}, 1e9) == Waiting(7, 0)
