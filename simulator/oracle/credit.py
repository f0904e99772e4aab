"""docs/rules.md, section 7: who earns a conversion."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from simulator.oracle.count import State, Transaction, route_of_state
from simulator.oracle.money import divide, quantised
from simulator.oracle.reject import NO_ID

LOOKBACK_MS = 30 * 24 * 3600 * 1000
UNATTRIBUTED = "unattributed"


class Touch(NamedTuple):
    """An accepted click or lead. ``occurred_at`` and ``event_id`` (lower case) come first: touches sort by them."""

    occurred_at: int
    event_id: str
    visitor_id: str
    route: str
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int


class Credit(NamedTuple):
    """One touch's share in one transaction under one model; ``touch_id`` all zeros: nobody's. Money in micros."""

    partner: str
    transaction_id: str
    route: str
    model: str
    touch_id: str
    weight: int
    value: int
    payout: int
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int


Model = Callable[[Sequence[Touch]], Sequence[int]]
MODELS: Mapping[str, Model] = {
    "last_click": lambda candidates: [0] * (len(candidates) - 1) + [1],
    "first_click": lambda candidates: [1] + [0] * (len(candidates) - 1),
}


class Journeys:
    """All accepted clicks and leads, by what leads to them. A route keeps to itself: it is part of every key."""

    def __init__(self) -> None:
        self._by_click: dict[tuple[str, str], list[Touch]] = {}
        self._by_lead: dict[tuple[str, str], list[Touch]] = {}
        self._clicks_of: dict[tuple[str, str], list[Touch]] = {}

    def add_click(self, click_id: str, touch: Touch) -> None:
        """Take in an accepted click."""
        self._by_click.setdefault((touch.route, click_id), []).append(touch)
        self._clicks_of.setdefault((touch.route, touch.visitor_id), []).append(touch)

    def add_lead(self, lead_id: str, touch: Touch) -> None:
        """Take in an accepted lead."""
        self._by_lead.setdefault((touch.route, lead_id), []).append(touch)

    def visitor_of(self, route: str, state: State) -> str:
        """Return the visitor that a transaction resolves to, empty if to none."""
        for known, identifier in ((self._by_click, state.click_id), (self._by_lead, state.lead_id)):
            named = known.get((route, identifier), []) if identifier else []
            before = [touch for touch in named if touch.occurred_at <= state.occurred_at]
            if before:
                return min(before).visitor_id
        return state.visitor_id

    def candidates(self, route: str, visitor_id: str, until: int, lookback_ms: int) -> Sequence[Touch]:
        """Return the clicks of a visitor that may earn a conversion at ``until``, the earliest first."""
        clicks = self._clicks_of.get((route, visitor_id), []) if visitor_id else []
        return sorted(click for click in clicks if until - lookback_ms <= click.occurred_at <= until)


def credits_of(
    transaction: Transaction, state: State, journeys: Journeys, lookback_ms: int = LOOKBACK_MS
) -> Iterable[Credit]:
    """Yield the credits in force for a transaction, under every model."""
    route = route_of_state(transaction, state)
    visitor_id = journeys.visitor_of(route, state)
    candidates = journeys.candidates(route, visitor_id, state.occurred_at, lookback_ms)
    for name, model in MODELS.items():
        if not candidates:
            yield _unattributed(transaction, route, name, state)
            continue
        weights = quantised(model(candidates))
        values = divide(state.recognised_value, weights)
        payouts = divide(state.recognised_payout, weights)
        for touch, weight, value, payout in zip(candidates, weights, values, payouts, strict=True):
            if weight:
                yield _attributed((*transaction, route, name), touch, (weight, value, payout))


def _attributed(key: tuple[str, str, str, str], touch: Touch, shares: tuple[int, int, int]) -> Credit:
    return Credit(
        *key,
        touch.event_id,
        *shares,
        touch.campaign,
        touch.affiliate,
        touch.offer,
        touch.channel,
        touch.country,
        touch.device,
        touch.bot,
    )


def _unattributed(transaction: Transaction, route: str, model: str, state: State) -> Credit:
    return Credit(
        *transaction,
        route,
        model,
        NO_ID,
        10**9,
        state.recognised_value,
        state.recognised_payout,
        state.campaign,
        state.affiliate,
        state.offer,
        UNATTRIBUTED,
        "",
        "",
        0,
    )
