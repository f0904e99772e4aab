"""Attribution models over journeys, many conversions at a time (docs/rules.md, section 7).

A rule is a pure function from candidates to weights. To add one, write it and name it in `RULES`.
"""

from collections.abc import Callable, Mapping
from functools import cache
from math import isqrt
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.attribution import TOUCH_KINDS, Model
from streams.steps.money import I64

HALF_LIFE_STEPS = 256
_DOUBLINGS = 8
"""2^8 steps: a root of that order is eight square roots."""
_NEVER = np.iinfo(np.int64).min
_ONE = 32
"""A weight of 1 is 2^32."""


class Journeys(NamedTuple):
    """Touches that may earn, of many conversions, as columns of one length.

    ``place``: of which conversion, ascending; within it sorted by (occurred_at, event id). ``age``: ms before the conversion, below 0 after it.
    ``kind``: the place in `TOUCH_KINDS`. ``channel``: a number, which ``numbers`` gives by name.
    """

    place: I64
    age: I64
    kind: npt.NDArray[np.int8]
    channel: npt.NDArray[np.int32]
    numbers: Mapping[str, int]


class Candidates(NamedTuple):
    """The touches of `Journeys` that count under a model: their rows, places and ages; rank within the place, from 0; and of how many."""

    row: I64
    place: I64
    age: I64
    rank: I64
    of: I64


def candidates(journeys: Journeys, model: Model) -> Candidates:
    """Return the touches that count under ``model``, by lookback, skew, channel and how it takes direct traffic."""
    limits = np.full(len(TOUCH_KINDS), _NEVER)
    for kind, longest in model.lookback:
        limits[TOUCH_KINDS.index(kind)] = longest
    keep = (journeys.age <= limits[journeys.kind]) & (journeys.age >= -model.skew)
    if model.channels is not None:
        wanted = [journeys.numbers[name] for name in model.channels if name in journeys.numbers]
        keep &= np.isin(journeys.channel, wanted)
    row = np.flatnonzero(keep & _by_direct(journeys, keep, model.direct))
    place = journeys.place[row]
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    counts = np.diff(starts, append=len(place))
    rank = np.arange(len(place)) - np.repeat(starts, counts)
    return Candidates(row, place, journeys.age[row], rank, np.repeat(counts, counts))


def _by_direct(journeys: Journeys, keep: npt.NDArray[np.bool_], direct: str) -> npt.NDArray[np.bool_]:
    """Return where a touch counts as far as direct traffic goes; as a last resort it does where no other of ``keep`` is."""
    other: npt.NDArray[np.bool_] = journeys.channel != journeys.numbers.get("direct", -1)
    if direct == "counted":
        return np.ones(len(other), dtype=np.bool_)
    if direct == "ignored" or not len(other):
        return other
    has_other = np.zeros(int(journeys.place[-1]) + 1, dtype=np.bool_)
    has_other[journeys.place[keep & other]] = True
    return np.logical_or(other, ~has_other[journeys.place])


Rule = Callable[[Candidates, Model], I64]
"""Returns one weight per candidate: from 0 to 2^32, positive for at least one of each place."""


def first(them: Candidates, model: Model) -> I64:
    """All weight to the earliest; ties to the smaller event id."""
    return np.where(them.rank == 0, 1, 0)


def last(them: Candidates, model: Model) -> I64:
    """All weight to the latest; ties to the larger event id."""
    return np.where(them.rank == them.of - 1, 1, 0)


def linear(them: Candidates, model: Model) -> I64:
    """The same weight to each."""
    return np.ones(len(them.row), dtype=np.int64)


def position(them: Candidates, model: Model) -> I64:
    """A share to the first, a share to the last, the rest evenly to those between. Of two, both shares in proportion; one takes all."""
    between = np.maximum(them.of - 2, 1)
    weights = np.where(them.rank == 0, model.first * between, 100 - model.first - model.last)
    weights = np.where(them.rank == them.of - 1, model.last * between, weights)
    return np.where(them.of == 1, 1, weights)


def time_decay(them: Candidates, model: Model) -> I64:
    """Half the weight for every half-life before the conversion, in steps of a 256th of it; never less than 2^-32. After it: all."""
    halvings, step = np.divmod(np.maximum(them.age, 0) * HALF_LIFE_STEPS // model.half_life, HALF_LIFE_STEPS)
    weights: I64 = np.maximum(_decay()[step] >> np.minimum(halvings, _ONE + 1), 1)
    return weights


@cache
def _decay() -> I64:
    """Return 2^(32 - step/256), rounded down, per step. Exact: whole roots of whole numbers, whatever the machine's floats do."""
    weights = []
    for step in range(HALF_LIFE_STEPS):
        root = 1 << (_ONE * HALF_LIFE_STEPS - step)
        for _ in range(_DOUBLINGS):
            root = isqrt(root)
        weights.append(root)
    return np.array(weights, dtype=np.int64)


RULES: Mapping[str, Rule] = {
    "first": first,
    "last": last,
    "linear": linear,
    "position": position,
    "time_decay": time_decay,
}
