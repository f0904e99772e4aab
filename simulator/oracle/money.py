"""Dividing: what is left over goes to the largest fraction, then to the earlier part (docs/rules.md, section 7)."""

from collections.abc import Sequence
from fractions import Fraction

WHOLE = 10**9


def divide(amount: int, weights: Sequence[Fraction | int]) -> list[int]:
    """Return ``amount`` divided by ``weights`` (not negative, not all zero; in order of time, then event id), to the last unit."""
    total = sum(weights)
    exact = [abs(amount) * Fraction(weight) / total for weight in weights]
    parts = [int(share) for share in exact]
    for _ in range(abs(amount) - sum(parts)):
        owed = [share - part for share, part in zip(exact, parts, strict=True)]
        parts[owed.index(max(owed))] += 1
    return parts if amount >= 0 else [-part for part in parts]


def quantised(weights: Sequence[Fraction | int]) -> list[int]:
    """Return ``weights`` as integers that add up to 10^9."""
    return divide(WHOLE, weights)
