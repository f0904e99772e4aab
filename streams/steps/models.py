"""Attribution models: one pure function each, from a journey to weights. To add a model, write one and name it in `MODELS`."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Touch(NamedTuple):
    """One touch of a journey. Times in ms UTC; ``event_id`` as the 128-bit integer; the rest as journaled."""

    occurred_at: int
    event_id: int
    kind: str
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int


Journey = Sequence[Touch]
"""Touches before the conversion and within the lookback, sorted by (occurred_at, event_id); at least one."""

Model = Callable[[Journey], Sequence[float]]
"""Returns one weight per touch of the journey: not negative, their sum positive."""


def last_click(journey: Journey) -> Sequence[float]:
    """All weight to the latest click; ties to the larger event id."""
    return [0.0] * (len(journey) - 1) + [1.0]


def first_click(journey: Journey) -> Sequence[float]:
    """All weight to the earliest click; ties to the smaller event id."""
    return [1.0] + [0.0] * (len(journey) - 1)


MODELS: Mapping[str, Model] = {"last_click": last_click, "first_click": first_click}
