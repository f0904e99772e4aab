"""Folding a transaction's history.

status_at   1 ------- 2 ------- 3 ------>
status      pending   approved  reversed
value       10        (null)    (null)
state after 10 pending, 10 approved, 10 reversed (recognised 0)
"""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.oracle.count import Accepted, state_of
from simulator.oracle.enrich import Enrichment
from streams.steps.count import STATUS_RANK, StatusEvent, fold


def event(
    status: str, at: int, value: int | None = None, click_id: str = "", currency: str = "", number: int = 0
) -> StatusEvent:
    return StatusEvent(
        at,
        number,
        status,
        at,
        value,
        value,
        currency,
        click_id,
        "",
        "",
        "",
        "",
        "",
        "",
        f"channel{at}",
        "",
        "",
        0,
    )


PENDING = event("pending", 1, 10, "click", "EUR")
APPROVED = event("approved", 2)
REVERSED = event("reversed", 3)


def test_the_last_status_stands_and_what_is_not_stated_stays() -> None:
    state = fold([PENDING, APPROVED])
    assert (state.status, state.value, state.currency, state.click_id) == ("approved", 10, "EUR", "click")
    assert (state.occurred_at, state.revision) == (1, 2)
    assert state.recognised_value == 10


def test_a_reversed_transaction_keeps_its_value_but_recognises_none() -> None:
    state = fold([PENDING, APPROVED, REVERSED])
    assert (state.value, state.recognised_value, state.recognised_payout) == (10, 0, 0)


def test_every_order_of_arrival_gives_the_same_state() -> None:
    assert len({fold(order) for order in permutations([PENDING, APPROVED, REVERSED])}) == 1


def test_at_one_time_the_rank_of_the_status_decides() -> None:
    assert fold([event("approved", 5), event("pending", 5)]).status == "approved"


EVENTS = st.lists(
    st.builds(
        event,
        st.sampled_from(sorted(STATUS_RANK)),
        st.integers(0, 3),
        st.none() | st.integers(0, 5),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from(["", "EUR", "USD"]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda given: (given.status, given.status_at),
)


@given(EVENTS, st.randoms())
def test_order_never_matters(events: list[StatusEvent], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(shuffled) == fold(events)


@pytest.mark.parametrize(
    ("history", "flag", "approved_at"),
    [
        ("pending", "", 0),
        ("approved", "", 1),
        ("rejected", "", 0),
        ("reversed", "reversed_first", 0),
        ("pending approved", "", 2),
        ("pending rejected", "", 0),
        ("pending approved reversed", "", 2),
        ("approved approved approved", "", 1),
        ("pending reversed", "reversed_after_pending", 0),
        ("rejected reversed", "reversed_after_rejected", 0),
        ("rejected approved", "approved_after_rejected", 2),
        ("rejected approved approved", "approved_after_rejected", 2),
        ("rejected approved reversed", "", 2),
        ("approved rejected", "rejected_after_approved", 1),
        ("approved pending", "pending_after_approved", 1),
        ("approved pending approved", "", 3),
        ("approved reversed approved", "approved_after_reversed", 3),
        ("approved reversed rejected", "rejected_after_reversed", 1),
    ],
)
def test_the_last_change_of_status_is_judged(history: str, flag: str, approved_at: int) -> None:
    """The status at 1, at 2 and so on, in words."""
    state = fold(event(status, at) for at, status in enumerate(history.split(), 1))
    assert (state.flag, state.approved_at) == (flag, approved_at)


def test_a_fact_that_comes_late_clears_the_flag() -> None:
    """
    status_at   1 --------- 2 ---------- 3
    arrives                              reversed: flagged
                            approved               : legal
    """
    assert fold([REVERSED]).flag == "reversed_first"
    assert fold([REVERSED, APPROVED]).flag == ""


def test_a_partial_refund_restates_the_money_and_its_place_is_its_own_time() -> None:
    """
    status_at   1 -------------- 2 -------------- 3
    status      approved 10      approved 4       approved 7
    """
    sold, refunded, again = event("approved", 1, 10), event("approved", 2, 4), event("approved", 3, 7)
    assert fold([refunded, sold]).recognised_value == 4
    state = fold([again, refunded, sold])
    assert (state.recognised_value, state.approved_at, state.flag) == (7, 1, "")


def test_a_reversal_of_another_amount_takes_all_back_and_says_so() -> None:
    state = fold([event("approved", 1, 10), event("reversed", 2, 3)])
    assert (state.recognised_value, state.flag) == (0, "reversed_other_amount")
    assert fold([event("approved", 1, 10), event("reversed", 2, 10)]).flag == ""
    assert fold([event("approved", 1), event("reversed", 2, 3)]).flag == "", "nothing to differ from"


@given(EVENTS)
def test_the_oracle_judges_alike(events: list[StatusEvent]) -> None:
    enrichment = Enrichment("", "", "", "", "", "", 0)
    records = [{**given._asdict(), "event_id": f"{given.event_id:032x}"} for given in events]
    judged, state = state_of(Accepted(record, enrichment) for record in records), fold(events)
    names = ("status", "value", "payout", "occurred_at", "approved_at", "flag", "revision")
    assert [getattr(judged, name) for name in names] == [getattr(state, name) for name in names]
