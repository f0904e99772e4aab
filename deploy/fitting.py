"""Data-driven attribution: what channels are worth by the journeys that converted and those that did not (formulas: docs/attribution.md)."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WHOLE = 1_000_000_000
"""What the weights of a fit add up to."""
MOST_NAMES = 300
"""Of a Markov fit: it solves as many systems of as many equations."""


class Path(NamedTuple):
    """Journeys with the same touches, earliest first."""

    names: tuple[str, ...]
    converted: int
    unconverted: int


class FitError(ValueError):
    """The journeys cannot be fitted."""


def removal_effects(paths: Sequence[Path]) -> dict[str, float]:
    """Return per name which share of all conversions is lost when it is taken out of the Markov graph of order 1.

    Raises FitError where there are too many names, or nothing converted.
    """
    names = sorted({name for path in paths for name in path.names})
    if len(names) > MOST_NAMES:
        raise FitError(f"{len(names)} names are too many for a Markov fit: at most {MOST_NAMES}")
    if not any(path.converted for path in paths):
        raise FitError("no journey with a known touch converted")
    steps = _transitions(paths, {name: place + 1 for place, name in enumerate(names)})
    whole = _conversion_rate(steps)
    return {
        name: 1 - _conversion_rate(_without(steps, place + 1)) / whole for place, name in enumerate(names)
    }


def _transitions(paths: Sequence[Path], places: Mapping[str, int]) -> npt.NDArray[np.float64]:
    """Return probabilities: row 0 is the start, then the names; the last column is the conversion. What a row lacks to 1 is lost."""
    counted = np.zeros((len(places) + 1, len(places) + 2))
    ended = np.zeros(len(places) + 1)
    for path in paths:
        visited = [0, *(places[name] for name in path.names)]
        for before, after in pairwise(visited):
            counted[before, after] += path.converted + path.unconverted
        counted[visited[-1], -1] += path.converted
        ended[visited[-1]] += path.unconverted
    total: npt.NDArray[np.float64] = counted.sum(axis=1) + ended
    return counted / np.where(total == 0, 1, total)[:, None]


def _without(steps: npt.NDArray[np.float64], place: int) -> npt.NDArray[np.float64]:
    """Return the graph in which whoever goes to ``place`` is lost."""
    left = steps.copy()
    left[:, place] = 0
    return left


def _conversion_rate(steps: npt.NDArray[np.float64]) -> float:
    """Return the probability of a conversion from the start: x = Q x + r, solved for x."""
    square = np.eye(len(steps)) - steps[:, :-1]
    return float(np.linalg.solve(square, steps[:, -1])[0])


def shapley_values(paths: Sequence[Path]) -> dict[str, Fraction]:
    """Return per name its Shapley value, where a coalition is worth the conversions of the journeys that it contains whole.

    Such a game is a sum of unanimity games, one per set of names, and in each all members are worth the same. So the value is
    exact without going through 2^n coalitions. Raises FitError where nothing converted.
    """
    if not any(path.converted for path in paths):
        raise FitError("no journey with a known touch converted")
    values = {name: Fraction(0) for path in paths for name in path.names}
    for path in paths:
        members = set(path.names)
        for name in members:
            values[name] += Fraction(path.converted, len(members))
    return values


def divided(total: int, shares: Mapping[str, float | Fraction]) -> dict[str, int]:
    """Return ``total`` (0 or more) cut by ``shares`` to whole parts that add up to it: the largest remainders get what is left.

    Equal remainders go by name. A share below 0, which only rounding can make, is none.
    """
    exact = {name: max(Fraction(share), Fraction(0)) for name, share in shares.items()}
    whole = sum(exact.values())
    if not whole:
        raise FitError("nothing can be told of any name: all are worth nothing")
    parts = {name: total * share / whole for name, share in exact.items()}
    cut = {name: int(part) for name, part in parts.items()}
    order = sorted(parts, key=lambda name: (cut[name] - parts[name], name))
    for name in order[: total - sum(cut.values())]:
        cut[name] += 1
    return cut
