"""docs/rules.md, section 9: conversions by status and day, of three kinds of day."""

from collections.abc import Iterable
from typing import NamedTuple

from simulator.oracle.count import State
from simulator.oracle.credit import UNATTRIBUTED, Credit

MEASURES = ("conversions", "credit_weight", "value", "payout", "flagged")
_DAY_MS = 86_400_000


class StatusGroup(NamedTuple):
    """What sums are for; ``day`` begins at that second UTC."""

    day: int
    basis: str
    status: str
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int
    currency: str
    model: str
    model_version: int


Statuses = dict[StatusGroup, list[int]]
"""Per group its `MEASURES`."""


def add_statuses(statuses: Statuses, state: State, credits: Iterable[Credit]) -> None:
    """Take in a transaction in that state, with its credits."""
    s = state
    dims = (s.campaign, s.affiliate, s.offer, s.channel, s.country, s.device, s.bot, s.currency, "", 0)
    reported = [1, 0, s.value, s.payout, int(s.flag != "")]
    _add(statuses, StatusGroup(_day(s.occurred_at), "conversion", s.status, *dims), reported)
    if s.approved_at:
        _add(statuses, StatusGroup(_day(s.approved_at), "approval", s.status, *dims), reported)
    for credit in credits:
        if credit.channel != UNATTRIBUTED:
            model = credit.model, credit.model_version
            group = StatusGroup(_day(credit.touch_at), "click", s.status, *credit[10:17], s.currency, *model)
            _add(statuses, group, [0, credit.weight, credit.value, credit.payout, 0])


def _day(milliseconds: int) -> int:
    return milliseconds // _DAY_MS * 86_400


def _add(statuses: Statuses, group: StatusGroup, amounts: list[int]) -> None:
    before = statuses.get(group, [0] * len(MEASURES))
    statuses[group] = [old + new for old, new in zip(before, amounts, strict=True)]
