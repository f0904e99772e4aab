"""Attribution: which touches of a journey earn a conversion, under every model side by side (docs/rules.md, section 7)."""

from typing import NamedTuple

import numpy as np

from schemas.attribution import Model, Models
from streams.steps.models import RULES, Candidates, Journeys, candidates
from streams.steps.money import I64, WEIGHT_SCALE, divide, quantised

UNATTRIBUTED = "unattributed"
NOBODY = -1


class Shares(NamedTuple):
    """Who earns what, as columns of one length.

    ``model``: the place among the models; ``place``: of the conversion; ``row``: of the touch in `Journeys`, `NOBODY` where there is none;
    ``weight`` in parts of 10^9; money in micros.
    """

    model: I64
    place: I64
    row: I64
    weight: I64
    value: I64
    payout: I64


def attribute(journeys: Journeys, values: I64, payouts: I64, models: Models) -> Shares:
    """Return the shares of conversions, whose recognised money is ``values`` and ``payouts``, in their journeys under all ``models``.

    Per model and conversion, weights add up to 10^9, values and payouts to the conversion's.
    """
    found: dict[object, Candidates] = {}
    parts = []
    for number, model in enumerate(models):
        # Most models look at the same touches.
        selection = model.lookback, model.skew, model.channels, model.direct
        if selection not in found:
            found[selection] = candidates(journeys, model)
        parts.append(_shares(number, model, found[selection], values, payouts))
    return Shares(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _shares(number: int, model: Model, them: Candidates, values: I64, payouts: I64) -> Shares:
    raw = RULES[model.rule](them, model)
    earning = raw > 0
    row, place = them.row[earning], them.place[earning]
    weight = quantised(place, raw[earning])
    value, payout = divide(values, place, weight), divide(payouts, place, weight)
    none = np.ones(len(values), dtype=np.bool_)
    none[place] = False
    nobody = np.flatnonzero(none)
    # A weight may come to nothing in parts of 10^9: such a touch earns nothing.
    some = weight > 0
    return Shares(
        np.full(int(some.sum()) + len(nobody), number),
        np.concatenate((place[some], nobody)),
        np.concatenate((row[some], np.full(len(nobody), NOBODY))),
        np.concatenate((weight[some], np.full(len(nobody), WEIGHT_SCALE))),
        np.concatenate((value[some], values[nobody])),
        np.concatenate((payout[some], payouts[nobody])),
    )
