"""Transactions: what of their events arrives in any order, in any batches and again, and what is issued and taken back for it."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from streams.state.ids import CONFLICT, DUPLICATE, NEW
from streams.state.transactions import Transactions
from streams.steps.count import STATUS_RANK, StatusEvent, TransactionState, fold

KEY = "p", "t1"


def event(status: str, at: int, value: int | None = 10) -> StatusEvent:
    return StatusEvent(at, 1, status, 1, value, None, "EUR", *("",) * 10, 0)


def content(of: StatusEvent) -> int:
    return hash(of)


EVENTS = st.lists(
    st.builds(event, st.sampled_from(sorted(STATUS_RANK)), st.integers(1, 4), st.none() | st.integers(0, 3)),
    min_size=1,
    max_size=8,
    unique_by=lambda given: (given.status, given.status_at),
)


def issued(
    ledger: Counter[TransactionState], before: TransactionState | None, after: TransactionState
) -> None:
    """What counting writes: the old state taken back, the new one issued, where they differ in more than the revision."""
    if before is None or before[1:] != after[1:]:
        if before is not None:
            ledger[before._replace(revision=0)] -= 1
        ledger[after._replace(revision=0)] += 1


@given(EVENTS, st.data())
def test_any_order_any_batching_any_duplication_ends_in_one_state(
    events: list[StatusEvent], data: st.DataObject
) -> None:
    """A restart after any event: then memory holds what the journal does, and nothing else."""
    ledger: Counter[TransactionState] = Counter()
    transactions, journal = Transactions(), list[StatusEvent]()
    arriving = data.draw(st.permutations(events + data.draw(st.lists(st.sampled_from(events), max_size=4))))
    for one in arriving:
        if data.draw(st.booleans()):
            transactions = Transactions()
            for held in data.draw(st.permutations(journal)):
                transactions.restore(KEY, held, content(held), 1)
        again = one in journal
        verdict = transactions.verdict(KEY, (one.status, one.status_at), content(one))
        assert verdict == (DUPLICATE if again else NEW)
        if not again:
            issued(ledger, *transactions.accept(KEY, one, content(one), 1))
            journal.append(one)
    assert {state: count for state, count in ledger.items() if count} == {
        fold(events)._replace(revision=0): 1
    }


def test_a_status_again_at_a_later_time_is_news_and_other_content_at_the_same_time_a_conflict() -> None:
    transactions = Transactions()
    sold = event("approved", 1)
    transactions.accept(KEY, sold, 7, 1)
    assert transactions.verdict(KEY, ("approved", 1), 7) == DUPLICATE
    assert transactions.verdict(KEY, ("approved", 1), 8) == CONFLICT
    assert transactions.verdict(KEY, ("approved", 2), 8) == NEW


def test_what_an_older_worker_counted_is_taken_back_as_it_stands_in_the_journal() -> None:
    """
    an older worker      this one
    +approved, no time   -approved, no time   +approved since 1, of a refunded amount
    """
    transactions = Transactions()
    sold, refunded, again = event("approved", 1), event("approved", 2, 4), event("approved", 3, 3)
    transactions.restore(KEY, sold, content(sold), 1, judged=False)
    before, after = transactions.accept(KEY, refunded, content(refunded), 1)
    assert before is not None
    assert (before.value, before.approved_at, after.value, after.approved_at) == (10, 0, 4, 1)
    before, _ = transactions.accept(KEY, again, content(again), 1)
    assert before == after
