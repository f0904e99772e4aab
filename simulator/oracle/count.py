"""docs/rules.md, section 6: what a transaction amounts to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.ids import journey_route
from simulator.oracle.enrich import Enrichment

RANKS = {"pending": 0, "approved": 1, "rejected": 2, "reversed": 3}
RECOGNISED = ("pending", "approved")
FOLLOWS = {
    "pending": ("", "pending"),
    "approved": ("", "pending", "approved"),
    "rejected": ("", "pending", "rejected"),
    "reversed": ("approved", "reversed"),
}
"""The statuses that each may come after; the empty one is none."""

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
    approved_at: int
    flag: str
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
        approved_at=_approved_at(records),
        flag=_flag(records),
        revision=len(history),
    )


def _place(event: Accepted) -> tuple[int, int, str]:
    record = event.record
    return record["status_at"], RANKS[record["status"]], record["event_id"].lower()


def _approved_at(records: Sequence[Mapping[str, Any]]) -> int:
    """The begin of the last stretch of approvals: go back to the newest one, then on while the one before it is another."""
    place = len(records) - 1
    while place >= 0 and records[place]["status"] != "approved":
        place -= 1
    while place > 0 and records[place - 1]["status"] == "approved":
        place -= 1
    return int(records[place]["status_at"]) if place >= 0 else 0


def _flag(records: Sequence[Mapping[str, Any]]) -> str:
    """Judge the last change of status alone, then what reversals said since."""
    status = records[-1]["status"]
    begin = len(records)
    while begin > 0 and records[begin - 1]["status"] == status:
        begin -= 1
    before = records[begin - 1]["status"] if begin else ""
    if before not in FOLLOWS[status]:
        return f"{status}_after_{before}" if before else f"{status}_first"
    places = range(begin, len(records)) if status == "reversed" else ()
    other = any(
        _is_other(records[:place], records[place], name) for place in places for name in ("value", "payout")
    )
    return "reversed_other_amount" if other else ""


def _is_other(earlier: Sequence[Mapping[str, Any]], record: Mapping[str, Any], name: str) -> bool:
    stated = [each[name] for each in earlier if each[name] is not None]
    return record[name] is not None and stated != [] and stated[-1] != record[name]


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
