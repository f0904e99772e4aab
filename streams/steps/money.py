"""Dividing money to the last micro (DESIGN.md, "Data"; the largest remainder method, A. Hamilton 1792), many conversions at a time.

Rows belong together where they have the same ``place``; rows of a place are neighbours, in order of time and event id.
"""

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]

WEIGHT_SCALE = 10**9
LARGEST = 2**32
"""Weights stay up to this: a product with `WEIGHT_SCALE` then fits 64 bits."""


def quantised(place: I64, weights: I64) -> I64:
    """Return positive ``weights`` as integers in proportion that add up to `WEIGHT_SCALE` per place."""
    if not len(place):
        return weights
    starts = _starts(place)
    total = _spread(np.add.reduceat(weights, starts), starts, len(place))
    shares, fractions = np.divmod(weights * WEIGHT_SCALE, total)
    return _with_rest(shares, fractions, np.full(len(starts), WEIGHT_SCALE), starts)


def divide(amounts: I64, place: I64, shares: I64) -> I64:
    """Return ``amounts[place]`` divided by ``shares`` (which add up to `WEIGHT_SCALE` per place): the parts of a place add up to its amount exactly.

    What integer division leaves goes one by one to the largest fractions, ties to the earlier row. The absolute value is divided and the sign
    put back, so that a retraction divides like what it takes back.
    """
    if not len(place):
        return shares
    starts = _starts(place)
    size = np.abs(amounts)[place]
    # In two steps, because a product of both does not fit 64 bits.
    whole, rest = np.divmod(size, WEIGHT_SCALE)
    parts, fractions = np.divmod(rest * shares, WEIGHT_SCALE)
    parts = _with_rest(whole * shares + parts, fractions, size[starts], starts)
    return np.where(amounts[place] < 0, -parts, parts)


def _with_rest(parts: I64, fractions: I64, wanted: I64, starts: I64) -> I64:
    """Add one to as many parts of each place as are missing to the sum ``wanted``: to those of the largest fractions first."""
    missing = wanted - np.add.reduceat(parts, starts)
    if not missing.any():
        return parts
    number = _spread(np.arange(len(starts)), starts, len(parts))
    order = np.lexsort((-fractions, number))
    # Rows of a place keep their range when sorted, so ranks count from the same starts.
    ranks = np.arange(len(parts)) - _spread(starts, starts, len(parts))
    parts = parts.copy()
    parts[order] += ranks < missing[number]
    return parts


def _starts(place: I64) -> I64:
    return np.flatnonzero(np.diff(place, prepend=-1))


def _spread(values: I64, starts: I64, rows: int) -> I64:
    """Return each place's value once per row of it."""
    return np.repeat(values, np.diff(starts, append=rows))
