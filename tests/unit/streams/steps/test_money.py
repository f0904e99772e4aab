import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.steps.money import LARGEST, WEIGHT_SCALE, divide, quantised

AMOUNTS = st.integers(-(10**15), 10**15)
WEIGHTS = st.lists(st.integers(1, LARGEST), min_size=1, max_size=30)
MANY = st.lists(st.tuples(AMOUNTS, WEIGHTS), min_size=1, max_size=6)


def parts_of(conversions: list[tuple[int, list[int]]]) -> list[tuple[int, list[int], list[int]]]:
    """Return amount, shares and parts of each, divided all at once."""
    place = np.repeat(np.arange(len(conversions)), [len(weights) for _, weights in conversions])
    weights = np.array([weight for _, weights in conversions for weight in weights], dtype=np.int64)
    amounts = np.array([amount for amount, _ in conversions], dtype=np.int64)
    shares = quantised(place, weights)
    parts = divide(amounts, place, shares)
    return [
        (amount, shares[place == number].tolist(), parts[place == number].tolist())
        for number, (amount, _) in enumerate(conversions)
    ]


@given(MANY)
def test_shares_and_parts_add_up_exactly(conversions: list[tuple[int, list[int]]]) -> None:
    for amount, shares, parts in parts_of(conversions):
        assert sum(shares) == WEIGHT_SCALE
        assert sum(parts) == amount


@given(MANY)
def test_no_part_is_off_its_exact_share_by_a_micro(conversions: list[tuple[int, list[int]]]) -> None:
    for amount, shares, parts in parts_of(conversions):
        for part, share in zip(parts, shares, strict=True):
            assert abs(part * WEIGHT_SCALE - amount * share) < WEIGHT_SCALE


@given(MANY)
def test_a_retraction_divides_like_what_it_takes_back(conversions: list[tuple[int, list[int]]]) -> None:
    negated = parts_of([(-amount, weights) for amount, weights in conversions])
    for (_, _, parts), (_, _, negative) in zip(parts_of(conversions), negated, strict=True):
        assert negative == [-part for part in parts]


def test_remainders_go_to_the_largest_fraction_then_the_earlier_touch() -> None:
    [(_, shares, parts), (_, _, more)] = parts_of([(100, [1, 1, 1]), (10, [3, 3, 1])])
    assert shares == [333_333_334, 333_333_333, 333_333_333]
    assert parts == [34, 33, 33]
    # Exact parts 4.29, 4.29 and 1.43: the third has the largest fraction.
    assert more == [4, 4, 2]
