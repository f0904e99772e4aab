"""Folding a transaction's history.

status_at   1 ------- 2 ------- 3 ------>
status      pending   approved  reversed
value       10        (null)    (null)
state after 10 pending, 10 approved, 10 reversed (recognised 0)
"""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

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
    max_size=4,
    unique_by=lambda given: given.status,
)


@given(EVENTS, st.randoms())
def test_order_never_matters(events: list[StatusEvent], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert fold(shuffled) == fold(events)
