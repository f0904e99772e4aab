"""Attribution: which touches of a journey earn a conversion, under every model side by side (docs/rules.md, section 7)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from streams.steps.models import Journey, Model
from streams.steps.money import divide, quantised

UNATTRIBUTED = "unattributed"


class Claim(NamedTuple):
    """What is to be credited: a conversion as its credit request states it. Times in ms UTC, money in micros (recognised)."""

    partner: str
    transaction_id: str
    occurred_at: int
    status: str
    value: int
    payout: int
    currency: str
    goal: str
    campaign: str
    affiliate: str
    offer: str


class Credit(NamedTuple):
    """One row of credit: the share of one touch (``touch_id`` 0: unattributed) under one model. ``weight`` in parts of 10^9."""

    model: str
    weight: int
    value: int
    payout: int
    touch_id: int
    touch_at: int
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int
    status: str
    occurred_at: int
    currency: str
    goal: str


def credits_of(claim: Claim, journey: Journey, models: Mapping[str, Model]) -> list[Credit]:
    """Return the credits of ``claim`` over ``journey`` (sorted candidates, possibly none) under every model.

    Per model, weights add up to 10^9, values and payouts to the claim's.
    """
    if not journey:
        return [_unattributed(claim, name) for name in models]
    return [
        credit for name, model in models.items() for credit in _shares(claim, journey, name, model(journey))
    ]


def _shares(claim: Claim, journey: Journey, model: str, weights: Sequence[float]) -> list[Credit]:
    earning = [place for place, weight in enumerate(weights) if weight > 0]
    shares = quantised([weights[place] for place in earning])
    values, payouts = divide(claim.value, shares), divide(claim.payout, shares)
    return [
        Credit(
            model,
            share,
            value,
            payout,
            (touch := journey[place]).event_id,
            touch.occurred_at,
            touch.campaign,
            touch.affiliate,
            touch.offer,
            touch.channel,
            touch.country,
            touch.device,
            touch.bot,
            claim.status,
            claim.occurred_at,
            claim.currency,
            claim.goal,
        )
        for place, share, value, payout in zip(earning, shares, values, payouts, strict=True)
    ]


def _unattributed(claim: Claim, model: str) -> Credit:
    return Credit(
        model,
        10**9,
        claim.value,
        claim.payout,
        0,
        0,
        claim.campaign,
        claim.affiliate,
        claim.offer,
        UNATTRIBUTED,
        "",
        "",
        0,
        claim.status,
        claim.occurred_at,
        claim.currency,
        claim.goal,
    )
