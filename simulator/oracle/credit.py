"""docs/rules.md, section 7: who earns a conversion."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import NamedTuple

from schemas.attribution import Model, Models
from schemas.ids import route_of
from simulator.oracle.count import State, Transaction, route_of_state
from simulator.oracle.money import divide, quantised
from simulator.oracle.person import Persons
from simulator.oracle.reject import NO_ID

UNATTRIBUTED = "unattributed"
NAMED_LATE_MS = 10 * 60 * 1000


class Touch(NamedTuple):
    """An accepted impression, click or lead. ``occurred_at`` and ``event_id`` (lower case) come first: touches sort by them."""

    occurred_at: int
    event_id: str
    visitor_id: str
    route: str
    kind: str
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int


class Credit(NamedTuple):
    """One touch's share in one transaction under one model; ``touch_id`` all zeros: nobody's. Money in micros, ``touch_at`` in ms UTC."""

    partner: str
    transaction_id: str
    route: str
    model: str
    model_version: int
    touch_id: str
    touch_kind: str
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
    touch_at: int


Rule = Callable[[Sequence[Touch], int, Model], Sequence[int | Fraction]]
"""Candidates (the earliest first), time of the conversion and settings → one weight per candidate."""


def _last(candidates: Sequence[Touch], at: int, model: Model) -> Sequence[int]:
    return [0] * (len(candidates) - 1) + [1]


def _first(candidates: Sequence[Touch], at: int, model: Model) -> Sequence[int]:
    return [1] + [0] * (len(candidates) - 1)


def _linear(candidates: Sequence[Touch], at: int, model: Model) -> Sequence[int]:
    return [1 for _ in candidates]


def _position(candidates: Sequence[Touch], at: int, model: Model) -> Sequence[int | Fraction]:
    if len(candidates) == 1:
        return [1]
    between = len(candidates) - 2
    rest = [Fraction(100 - model.first - model.last, between)] * between if between else []
    return [model.first, *rest, model.last]


def _time_decay(candidates: Sequence[Touch], at: int, model: Model) -> Sequence[int]:
    return [decayed(max(at - touch.occurred_at, 0) * 256 // model.half_life) for touch in candidates]


@lru_cache(100_000)
def decayed(steps: int) -> int:
    """Return 2^(32 - steps/256), rounded down, after halving whole half-lives off; at least 1."""
    root = 1 << (32 * 256 - steps % 256)
    for _ in range(8):
        root = isqrt(root)
    return max(root >> (steps // 256), 1)


RULES: Mapping[str, Rule] = {
    "last": _last,
    "first": _first,
    "linear": _linear,
    "position": _position,
    "time_decay": _time_decay,
}


class Journeys:
    """All accepted touches, by what leads to them. A route keeps to itself: it is part of every key."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._aliases: dict[tuple[str, str], list[Touch]] = {}
        self._by_click: dict[tuple[str, str], list[Touch]] = {}
        self._by_lead: dict[tuple[str, str], list[Touch]] = {}
        self._touches_of: dict[tuple[str, str], list[Touch]] = {}

    def add_click(self, click_id: str, external_id: str, touch: Touch) -> None:
        """Take in an accepted click."""
        if route_of(click_id) != touch.route:
            self._aliases.setdefault(("click", click_id), []).append(touch)
        if external_id not in ("", click_id):
            self._aliases.setdefault(("click", external_id), []).append(touch)
        self._by_click.setdefault((touch.route, click_id), []).append(touch)
        self.add_touch(touch)

    def add_lead(self, lead_id: str, touch: Touch) -> None:
        """Take in an accepted lead."""
        if route_of(lead_id) != touch.route:
            self._aliases.setdefault(("lead", lead_id), []).append(touch)
        self._by_lead.setdefault((touch.route, lead_id), []).append(touch)
        self.add_touch(touch)

    def add_touch(self, touch: Touch) -> None:
        """Take in an accepted touch of any kind."""
        self._touches_of.setdefault((touch.route, touch.visitor_id), []).append(touch)

    def visitor_of(self, route: str, state: State) -> str:
        """Return the visitor that a transaction resolves to, empty if to none."""
        for kind, known, identifier in (
            ("click", self._by_click, state.click_id),
            ("lead", self._by_lead, state.lead_id),
        ):
            named = known.get((route, identifier), []) if identifier else []
            named = named + (self._led_by(kind, identifier) if route_of(identifier) == route else [])
            in_time = [touch for touch in named if touch.occurred_at <= state.occurred_at + NAMED_LATE_MS]
            if in_time:
                return min(in_time).visitor_id
        # A visitor that the conversion merely names, on another route than its own, leads nowhere.
        return state.visitor_id if route_of(state.visitor_id) == route else ""

    def _led_by(self, kind: str, identifier: str) -> list[Touch]:
        """Return the touches that carry an id of another route than their visitor's, none where too many visitors do."""
        touches = self._aliases.get((kind, identifier), []) if identifier else []
        return touches if len({touch.visitor_id for touch in touches}) <= self._limit else []

    def candidates(self, visitors: Sequence[str], at: int, model: Model) -> Sequence[Touch]:
        """Return the touches of ``visitors`` that may earn a conversion at ``at`` under ``model``, the earliest first. One accepted twice is one."""
        touches = {
            touch for visitor in visitors for touch in self._touches_of.get((route_of(visitor), visitor), [])
        }
        found = sorted(touch for touch in touches if _counts(touch, at, model))
        others = [touch for touch in found if touch.channel != "direct"]
        if model.direct == "ignored" or (model.direct == "last_resort" and others):
            return others
        return found


def _counts(touch: Touch, at: int, model: Model) -> bool:
    lookback = dict(model.lookback).get(touch.kind)
    in_time = lookback is not None and at - lookback <= touch.occurred_at <= at + model.skew
    return in_time and (model.channels is None or touch.channel in model.channels)


def credits_of(
    transaction: Transaction, state: State, journeys: Journeys, persons: Persons, models: Models
) -> Iterable[Credit]:
    """Yield the credits in force for a transaction, under every model."""
    route = route_of_state(transaction, state)
    visitor_id = journeys.visitor_of(route, state)
    visitors = persons.visitors_with(visitor_id) if visitor_id else []
    for model in models:
        candidates = journeys.candidates(visitors, state.occurred_at, model)
        key = (*transaction, route, *model.key)
        if not candidates:
            yield _unattributed(key, state)
            continue
        weights = quantised(RULES[model.rule](candidates, state.occurred_at, model))
        values = divide(state.recognised_value, weights)
        payouts = divide(state.recognised_payout, weights)
        for touch, weight, value, payout in zip(candidates, weights, values, payouts, strict=True):
            if weight:
                yield _attributed(key, touch, (weight, value, payout))


Key = tuple[str, str, str, str, int]


def _attributed(key: Key, touch: Touch, shares: tuple[int, int, int]) -> Credit:
    return Credit(
        *key,
        touch.event_id,
        touch.kind,
        *shares,
        touch.campaign,
        touch.affiliate,
        touch.offer,
        touch.channel,
        touch.country,
        touch.device,
        touch.bot,
        touch.occurred_at,
    )


def _unattributed(key: Key, state: State) -> Credit:
    return Credit(
        *key,
        NO_ID,
        "",
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
        0,
    )
