"""Dividing money to the last micro (DESIGN.md, "Data"; the largest remainder method, A. Hamilton 1792)."""

from collections.abc import Sequence

WEIGHT_SCALE = 10**9


def divide(amount: int, weights: Sequence[int]) -> list[int]:
    """Return ``amount`` divided in proportion to integer ``weights`` (at least one, their sum positive); the parts add up to it exactly.

    What integer division leaves goes one by one to the largest fractions, ties to the earlier place. The absolute value is divided
    and the sign put back, so that a retraction divides like what it takes back.
    """
    if len(weights) == 1:
        return [amount]
    total = sum(weights)
    size = abs(amount)
    parts = [size * weight // total for weight in weights]
    fractions = [size * weight % total for weight in weights]
    by_fraction = sorted(range(len(weights)), key=lambda place: (-fractions[place], place))
    for place in by_fraction[: size - sum(parts)]:
        parts[place] += 1
    return parts if amount >= 0 else [-part for part in parts]


def quantised(weights: Sequence[float]) -> list[int]:
    """Return ``weights`` (not negative, their sum positive) as integers in proportion that add up to `WEIGHT_SCALE`."""
    if len(weights) == 1:
        return [WEIGHT_SCALE]
    # As integers first: exact from here on, whatever the floats were.
    largest = max(weights)
    return divide(WEIGHT_SCALE, [round(weight / largest * 2**53) for weight in weights])
