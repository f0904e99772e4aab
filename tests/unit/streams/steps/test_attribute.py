"""Crediting conversions under models.

days before    20         10    9         0
touches        A ──────── B ─── C ─────── conversion
first          all
last                            all
linear         1/3        1/3   1/3
position       40 %       20 %  40 %
time decay     w(20)      w(10) w(9)      w(d) = 2^(-d / half-life)
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attribution import HOUR_MS, TOUCH_KINDS, Model, default_models
from simulator.oracle.credit import decayed
from streams.steps.attribute import NOBODY, attribute
from streams.steps.models import Journeys

DAY = 24 * HOUR_MS
CLICKS = (("click", 30 * DAY),)
NUMBERS = {"email": 1, "direct": 2, "affiliate": 3}
Touch = tuple[int, str, str]
"""Age in ms, kind, channel."""


def journeys(*each: list[Touch]) -> Journeys:
    flat = [(place, *touch) for place, touches in enumerate(each) for touch in touches]
    return Journeys(
        np.array([place for place, *_ in flat], dtype=np.int64),
        np.array([age for _, age, _, _ in flat], dtype=np.int64),
        np.array([TOUCH_KINDS.index(kind) for _, _, kind, _ in flat], dtype=np.int8),
        np.array([NUMBERS[channel] for *_, channel in flat], dtype=np.int32),
        NUMBERS,
    )


def clicks(*days: float, channel: str = "email") -> list[Touch]:
    return [(int(day * DAY), "click", channel) for day in days]


def weights(model: Model, *touches: Touch) -> dict[int, int]:
    """Return weight by place in ``touches`` (`NOBODY`: unattributed)."""
    zero = np.zeros(1, dtype=np.int64)
    shares = attribute(journeys(list(touches)), zero, zero, (model,))
    return dict(zip(shares.row.tolist(), shares.weight.tolist(), strict=True))


@pytest.mark.parametrize(
    ("rule", "options", "expected"),
    [
        ("first", {}, {0: 10**9}),
        ("last", {}, {2: 10**9}),
        ("linear", {}, {0: 333_333_334, 1: 333_333_333, 2: 333_333_333}),
        ("position", {"first": 40, "last": 40}, {0: 400_000_000, 1: 200_000_000, 2: 400_000_000}),
        ("position", {"first": 70, "last": 30}, {0: 700_000_000, 2: 300_000_000}),
        # 2^-2 : 2^-1 : 2^-(230/256), the last for the 230.4 steps of 9 days in 10.
        ("time_decay", {"half_life": 10 * DAY}, {0: 194_330_609, 1: 388_661_218, 2: 417_008_173}),
    ],
)
def test_rules(rule: str, options: dict[str, int], expected: dict[int, int]) -> None:
    assert weights(Model("m", 1, rule, CLICKS, **options), *clicks(20, 10, 9)) == expected


@pytest.mark.parametrize("rule", ["first", "last", "linear", "position", "time_decay"])
def test_one_touch_takes_all_and_no_touch_leaves_it_unattributed(rule: str) -> None:
    model = Model("m", 1, rule, CLICKS, first=40, last=40, half_life=DAY)
    assert weights(model, *clicks(3)) == {0: 10**9}
    assert weights(model) == {NOBODY: 10**9}


def test_of_two_touches_the_positions_share_in_proportion() -> None:
    model = Model("m", 1, "position", CLICKS, first=30, last=10)
    assert weights(model, *clicks(5, 4)) == {0: 750_000_000, 1: 250_000_000}


def test_windows_by_kind_include_their_first_moment() -> None:
    """
    hours before   25     24     1
                   view   view   click     conversion
    window                24 h   48 h
    """
    model = Model("m", 1, "linear", (("click", 48 * HOUR_MS), ("impression", 24 * HOUR_MS)))
    touches = [(25, "impression"), (24, "impression"), (3, "lead"), (1, "click")]
    found = weights(model, *((hours * HOUR_MS, kind, "email") for hours, kind in touches))
    assert found == {1: 500_000_000, 3: 500_000_000}


def test_the_skew_includes_its_last_moment_and_is_of_the_kinds_that_count() -> None:
    """
    seconds after     0            59      60      61
                      conversion   view    click   click
    window, 60 s      ─────────────────────┘
    """
    model = Model("m", 1, "linear", CLICKS, skew=60_000)
    ages = [(DAY, "click"), (-59_000, "impression"), (-60_000, "click"), (-60_001, "click")]
    found = weights(model, *((age, kind, "email") for age, kind in ages))
    assert found == {0: 500_000_000, 2: 500_000_000}


def test_decay_begins_at_the_conversion() -> None:
    """A click half a minute after it weighs as much as one at its moment, a half-life before it half as much."""
    model = Model("m", 1, "time_decay", CLICKS, half_life=DAY, skew=60_000)
    found = weights(model, (DAY, "click", "email"), (0, "click", "email"), (-30_000, "click", "email"))
    assert found == {0: 200_000_000, 1: 400_000_000, 2: 400_000_000}


@pytest.mark.parametrize(
    ("direct", "channels", "expected"),
    [
        ("counted", ["email", "direct"], 1),
        ("ignored", ["email", "direct"], 0),
        ("last_resort", ["email", "direct"], 0),
        ("ignored", ["direct", "direct"], NOBODY),
        ("last_resort", ["direct", "direct"], 1),
    ],
)
def test_direct_traffic(direct: str, channels: list[str], expected: int) -> None:
    model = Model("m", 1, "last", CLICKS, direct=direct)
    touches = [(age, "click", channel) for age, channel in zip((9, 5), channels, strict=True)]
    assert weights(model, *touches) == {expected: 10**9}


def test_channels() -> None:
    model = Model("m", 1, "last", CLICKS, channels=("affiliate", "referral"))
    assert weights(model, *clicks(3, channel="affiliate"), *clicks(1)) == {0: 10**9}
    assert weights(model, *clicks(1)) == {NOBODY: 10**9}


ALL_KINDS = st.tuples(
    st.integers(-2 * 60_000, 40 * DAY), st.sampled_from(TOUCH_KINDS), st.sampled_from(sorted(NUMBERS))
)
CONVERSIONS = st.lists(
    st.tuples(st.integers(0, 10**15), st.lists(ALL_KINDS, max_size=9)), min_size=1, max_size=5
)


@given(CONVERSIONS)
def test_under_every_model_credits_add_up(conversions: list[tuple[int, list[Touch]]]) -> None:
    each = [sorted(touches, reverse=True) for _, touches in conversions]
    values = np.array([value for value, _ in conversions], dtype=np.int64)
    shares = attribute(journeys(*each), values, values // 3, default_models())
    for number in range(len(default_models())):
        for place, (value, _) in enumerate(conversions):
            ours = (shares.model == number) & (shares.place == place)
            assert shares.weight[ours].sum() == 10**9
            assert shares.value[ours].sum() == value
            assert shares.payout[ours].sum() == value // 3


@given(st.integers(0, 40 * 256))
def test_decay_is_what_it_says_to_the_last_of_its_32_bits(steps: int) -> None:
    exact = 2 ** (32 - steps / 256)
    assert decayed(steps) == pytest.approx(max(exact, 1), abs=1)
