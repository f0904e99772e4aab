"""docs/rules.md, section 6: what a transaction amounts to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.ids import journey_route
from simulator.oracle.enrich import Enrichment

RANKS = {"pending": 0, "approved": 1, "rejected": 2, "reversed": 3}
RECOGNISED = ("pending", "approved")

Transaction = tuple[str, str]
"""Partner and transaction id."""


class State(NamedTuple):
    """A transaction's state; times in ms UTC, money in micros. ``value`` and ``payout`` are the reported ones."""

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
    revision: int

    @property
    def is_recognised(self) -> bool:
        """Whether value and payout count as they are."""
        return self.status in RECOGNISED

    @property
    def recognised_value(self) -> int:
        """Value in micros, 0 unless pending or approved."""
        return self.value if self.is_recognised else 0

    @property
    def recognised_payout(self) -> int:
        """Payout in micros, 0 unless pending or approved."""
        return self.payout if self.is_recognised else 0


class Accepted(NamedTuple):
    """An accepted conversion: its record and its enrichment."""

    record: Mapping[str, Any]
    enrichment: Enrichment


def state_of(events: Iterable[Accepted]) -> State:
    """Return what ``events`` (at least one, in any order) of one transaction amount to."""
    history = sorted(events, key=_place)
    records = [event.record for event in history]
    first = history[0].enrichment
    return State(
        status=records[-1]["status"],
        occurred_at=min(record["occurred_at"] for record in records),
        value=_last_amount(records, "value"),
        payout=_last_amount(records, "payout"),
        currency=_first_text([record["currency"] for record in reversed(records)]),
        click_id=_first_text([record["click_id"] for record in records]),
        lead_id=_first_text([record["lead_id"] for record in records]),
        visitor_id=_first_text([record["visitor_id"] for record in records]),
        goal=_first_text([record["goal"] for record in records]),
        campaign=_first_text([record["campaign"] for record in records]),
        affiliate=_first_text([record["affiliate"] for record in records]),
        offer=_first_text([record["offer"] for record in records]),
        channel=first.channel,
        country=_first_text([event.enrichment.country for event in history]),
        device=first.device,
        bot=first.bot,
        revision=len(history),
    )


def _place(event: Accepted) -> tuple[int, int, str]:
    record = event.record
    return record["status_at"], RANKS[record["status"]], record["event_id"].lower()


def _last_amount(records: Sequence[Mapping[str, Any]], name: str) -> int:
    amount = 0
    for record in records:
        if record[name] is not None:
            amount = record[name]
    return amount


def _first_text(texts: Sequence[str]) -> str:
    for text in texts:
        if text != "":
            return text
    return ""


def route_of_state(transaction: Transaction, state: State) -> str:
    """Return the route of the journey that a transaction is credited to."""
    return journey_route(*transaction, state.click_id, state.lead_id, state.visitor_id)
