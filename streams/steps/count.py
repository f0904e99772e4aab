"""Counting conversions: the state of a transaction is a fold over its accepted events (docs/rules.md, section 6)."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

STATUS_RANK = {"pending": 0, "approved": 1, "rejected": 2, "reversed": 3}
RECOGNISED = frozenset({"pending", "approved"})


class StatusEvent(NamedTuple):
    """One accepted conversion. Times in ms UTC, money in micros or None, ``event_id`` as the 128-bit integer."""

    status_at: int
    event_id: int
    status: str
    occurred_at: int
    value: int | None
    payout: int | None
    currency: str
    click_id: str
    lead_id: str
    visitor_id: str
    goal: str
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int


class TransactionState(NamedTuple):
    """What a transaction amounts to. Times in ms UTC, money in micros."""

    revision: int
    status: str
    occurred_at: int
    value: int
    payout: int
    currency: str
    click_id: str
    lead_id: str
    visitor_id: str
    goal: str
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int

    @property
    def recognised_value(self) -> int:
        """Value in micros while the transaction is pending or approved, else 0."""
        return self.value if self.status in RECOGNISED else 0

    @property
    def recognised_payout(self) -> int:
        """Payout in micros while the transaction is pending or approved, else 0."""
        return self.payout if self.status in RECOGNISED else 0


def fold(events: Iterable[StatusEvent]) -> TransactionState:
    """Return the state that ``events`` (at least one, in any order) add up to."""
    history = sorted(events, key=lambda event: (event.status_at, STATUS_RANK[event.status], event.event_id))
    first, last = history[0], history[-1]
    if len(history) == 1:
        return _single(first)
    return TransactionState(
        revision=len(history),
        status=last.status,
        occurred_at=min(event.occurred_at for event in history),
        value=_last_amount(history, lambda event: event.value),
        payout=_last_amount(history, lambda event: event.payout),
        currency=_first_text(history[::-1], lambda event: event.currency),
        click_id=_first_text(history, lambda event: event.click_id),
        lead_id=_first_text(history, lambda event: event.lead_id),
        visitor_id=_first_text(history, lambda event: event.visitor_id),
        goal=_first_text(history, lambda event: event.goal),
        campaign=_first_text(history, lambda event: event.campaign),
        affiliate=_first_text(history, lambda event: event.affiliate),
        offer=_first_text(history, lambda event: event.offer),
        channel=first.channel,
        country=_first_text(history, lambda event: event.country),
        device=first.device,
        bot=first.bot,
    )


def _single(event: StatusEvent) -> TransactionState:
    return TransactionState(
        1, event.status, event.occurred_at, event.value or 0, event.payout or 0, event.currency, *event[7:]
    )


def _last_amount(history: Sequence[StatusEvent], amount: Callable[[StatusEvent], int | None]) -> int:
    return next((given for event in reversed(history) if (given := amount(event)) is not None), 0)


def _first_text(history: Iterable[StatusEvent], text: Callable[[StatusEvent], str]) -> str:
    return next((given for event in history if (given := text(event))), "")
