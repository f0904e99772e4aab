"""The oracle's transactions, by hand."""

from itertools import permutations

from schemas.attribution import Model
from schemas.ids import mint
from simulator.oracle.compute import Rules, compute
from simulator.oracle.count import State
from tests.unit.simulator.logs import DAY, HOUR, NOON, Sent, event, log_of

CLICK = mint("abcd")


def state_of(*sent: Sent) -> State:
    return compute(log_of(sent)).transactions["p", "t"]


def test_a_history_in_any_order_ends_in_the_same_state() -> None:
    """
    hours   0         1          2
            pending   approved   reversed, bare
            30.00     20.00
    """
    pending = event(
        "conversion", "p", NOON, status="pending", value=30_000_000, payout=2, click_id=CLICK, goal="sale"
    )
    approved = event(
        "conversion", "a", NOON, status_at=NOON + HOUR, value=20_000_000, campaign="c1", time=NOON + HOUR
    )
    later = {"status_at": NOON + 2 * HOUR, "time": NOON + 2 * HOUR, "currency": ""}
    reversed_ = event("conversion", "r", NOON + HOUR, status="reversed", **later)
    states = {state_of(*order) for order in permutations((pending, approved, reversed_))}
    assert len(states) == 1
    state = states.pop()
    assert (state.status, state.value, state.payout, state.currency) == ("reversed", 20_000_000, 2, "EUR")
    assert (state.recognised_value, state.recognised_payout) == (0, 0)
    assert (state.occurred_at, state.revision) == (NOON, 3)
    assert (state.click_id, state.goal, state.campaign) == (CLICK, "sale", "c1")


def test_rank_decides_between_statuses_of_one_moment() -> None:
    approved, pending = event("conversion", "a", NOON), event("conversion", "b", NOON, status="pending")
    assert state_of(approved, pending).status == "approved"


def test_rollup_counts_and_credits() -> None:
    """
    minutes   0       9
              click   sale, approved
    """
    visitor = mint("abcd")
    click = event("click", "k", NOON, visitor_id=visitor, click_id=CLICK, campaign="of the click")
    sale = event("conversion", "s", NOON + 9 * 60_000, value=10, payout=3, click_id=CLICK, campaign="own")
    models = (Model("last_click", 5, "last", (("click", DAY),)),)
    rollup = compute(log_of([click, sale]), Rules(models=models)).rollup
    by_model = {(group.model, group.campaign): dict(enumerate(sums)) for group, sums in rollup.sums.items()}
    assert by_model.keys() == {
        ("", "of the click"),
        ("", "own"),
        ("last_click", "of the click"),
    }
    counted, credited = by_model["", "own"], by_model["last_click", "of the click"]
    assert [place for place, number in counted.items() if number] == [4, 7, 8, 9, 10]
    assert [credited[place] for place in (4, 7, 8, 9, 10, 11)] == [0, 10, 10, 3, 3, 10**9]
    assert list(rollup.visitors.values()) == [1]
    assert {group.model_version for group in rollup.sums} == {0, 5}
    assert {group.bucket for group in rollup.sums} == {NOON // 1000, NOON // 1000 + 540}
