"""Transactions a partition counts: their accepted events, and what arrives of them again."""

from dataclasses import dataclass, field

from streams.state.ids import CONFLICT, DUPLICATE, NEW
from streams.steps.count import StatusEvent, TransactionState, fold

TransactionKey = tuple[str, str]
"""Partner and the partner's transaction id."""


@dataclass(slots=True)
class Transaction:
    """At most one accepted event per status and moment. ``seen_at`` is the newest record time (ms); ``state`` is what the events add up to, if that
    is known. ``judged``: some of them were counted by a worker that knew ``approved_at`` and ``flag``."""

    seen_at: int
    state: TransactionState | None = None
    events: list[StatusEvent] = field(default_factory=list)
    contents: dict[tuple[str, int], int] = field(default_factory=dict)
    judged: bool = False

    def counted(self) -> TransactionState | None:
        """Return the state that stands in the journal, None before the first event."""
        if self.state is not None or not self.events:
            return self.state
        state = fold(self.events)
        # What an older worker counted is taken back as it stands there.
        return state if self.judged else state._replace(approved_at=0, flag="")


@dataclass(slots=True)
class Transactions:
    """The transactions in memory, by key. ``complete``: the journal has no others."""

    complete: bool = True
    by_key: dict[TransactionKey, Transaction] = field(default_factory=dict)

    def restore(
        self, key: TransactionKey, event: StatusEvent, content: int, record_time: int, judged: bool = True
    ) -> None:
        """Put back an event that the journal holds; one that is here already changes nothing."""
        transaction = self.by_key.setdefault(key, Transaction(record_time))
        fact = event.status, event.status_at
        if fact not in transaction.contents:
            transaction.events.append(event)
            transaction.state = None
            transaction.contents[fact] = content
            transaction.judged |= judged
            transaction.seen_at = max(transaction.seen_at, record_time)

    def verdict(self, key: TransactionKey, fact: tuple[str, int], content: int) -> int:
        """Return NEW, DUPLICATE or CONFLICT for an event: a transaction takes each status once per moment (ms) of its own time, for ever."""
        transaction = self.by_key.get(key)
        if transaction is None or fact not in transaction.contents:
            return NEW
        return DUPLICATE if transaction.contents[fact] == content else CONFLICT

    def accept(
        self, key: TransactionKey, event: StatusEvent, content: int, record_time: int
    ) -> tuple[TransactionState | None, TransactionState]:
        """Take a new event; return the state before (None if it is the first) and after it."""
        transaction = self.by_key.setdefault(key, Transaction(record_time))
        before = transaction.counted()
        self.restore(key, event, content, record_time)
        transaction.state = after = fold(transaction.events)
        return before, after

    def expire(self, floor: int) -> None:
        """Forget transactions not seen since record time ``floor`` (ms): the journal has them."""
        kept = {key: held for key, held in self.by_key.items() if held.seen_at >= floor}
        if len(kept) < len(self.by_key):
            self.by_key, self.complete = kept, False
