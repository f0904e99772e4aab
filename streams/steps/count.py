"""Counting conversions: the state of a transaction is a fold over its accepted events (docs/rules.md, section 6)."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

STATUS_RANK = {"pending": 0, "approved": 1, "rejected": 2, "reversed": 3}
RECOGNISED = frozenset({"pending", "approved"})
LEGAL = frozenset(
    {
        ("", "pending"),
        ("", "approved"),
        ("", "rejected"),
        ("pending", "approved"),
        ("pending", "rejected"),
        ("approved", "reversed"),
    }
)
"""The changes of status that raise no flag, from and to; from nothing: the first status."""


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
    """What a transaction amounts to. Times in ms UTC, money in micros.

    ``approved_at``: since when it has been approved, or was the last time; 0 if it never was. ``flag``: what is wrong with the way it came to its
    status, empty if nothing is.
    """

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
    approved_at: int
    flag: str

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
        approved_at=_approved_at(history),
        flag=_flag(history),
    )


def _single(event: StatusEvent) -> TransactionState:
    return TransactionState(
        1,
        event.status,
        event.occurred_at,
        event.value or 0,
        event.payout or 0,
        event.currency,
        *event[7:],
        _approved_at([event]),
        _flag([event]),
    )


def _approved_at(history: Sequence[StatusEvent]) -> int:
    """Return when the last unbroken run of approved events began, 0 if there is none."""
    approved_at, status = 0, ""
    for event in history:
        if event.status == "approved" != status:
            approved_at = event.status_at
        status = event.status
    return approved_at


def _flag(history: Sequence[StatusEvent]) -> str:
    """Return what is wrong with the last change of status, or with the amounts since: every change is judged anew, so a legal one clears the flag."""
    flag = status = ""
    amounts: tuple[int | None, int | None] = None, None
    for event in history:
        if event.status != status:
            flag = "" if (status, event.status) in LEGAL else _named(status, event.status)
        if not flag and event.status == "reversed" and _differ(amounts, (event.value, event.payout)):
            flag = "reversed_other_amount"
        status = event.status
        amounts = _stated(event.value, amounts[0]), _stated(event.payout, amounts[1])
    return flag


def _named(before: str, after: str) -> str:
    return f"{after}_after_{before}" if before else f"{after}_first"


def _stated(given: int | None, before: int | None) -> int | None:
    return before if given is None else given


def _differ(before: Sequence[int | None], given: Sequence[int | None]) -> bool:
    """Whether an amount is given that is not the one before it; where none was before, there is nothing to differ from."""
    return any(old is not None is not new and old != new for old, new in zip(before, given, strict=True))


def _last_amount(history: Sequence[StatusEvent], amount: Callable[[StatusEvent], int | None]) -> int:
    return next((given for event in reversed(history) if (given := amount(event)) is not None), 0)


def _first_text(history: Iterable[StatusEvent], text: Callable[[StatusEvent], str]) -> str:
    return next((given for event in history if (given := text(event))), "")
