from hypothesis import given
from hypothesis import strategies as st

from streams.steps.money import WEIGHT_SCALE, divide, quantised

AMOUNTS = st.integers(-(10**15), 10**15)
WEIGHTS = st.lists(st.integers(0, 10**9), min_size=1, max_size=30).filter(any)


@given(AMOUNTS, WEIGHTS)
def test_parts_add_up_to_the_amount_exactly(amount: int, weights: list[int]) -> None:
    assert sum(divide(amount, weights)) == amount


@given(AMOUNTS, WEIGHTS)
def test_no_part_is_off_its_exact_share_by_a_micro(amount: int, weights: list[int]) -> None:
    total = sum(weights)
    for part, weight in zip(divide(amount, weights), weights, strict=True):
        assert abs(part * total - amount * weight) < total


@given(AMOUNTS, WEIGHTS)
def test_a_retraction_divides_like_what_it_takes_back(amount: int, weights: list[int]) -> None:
    assert divide(-amount, weights) == [-part for part in divide(amount, weights)]


def test_remainders_go_to_the_largest_fraction_then_the_earlier_touch() -> None:
    assert divide(100, [1, 1, 1]) == [34, 33, 33]
    assert divide(10, [3, 3, 1]) == [
        4,
        4,
        2,
    ]  # exact shares 4.29, 4.29, 1.43: the third has the largest fraction
    assert divide(1, [1, 1]) == [1, 0]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda weights: max(weights) > 1e-3))
def test_quantised_weights_add_up_to_the_scale(weights: list[float]) -> None:
    assert sum(quantised(weights)) == WEIGHT_SCALE
