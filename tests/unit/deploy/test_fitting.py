"""Markov removal effects and Shapley values: worked examples, and the same by brute force."""

from fractions import Fraction
from itertools import combinations
from math import factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.fit import fit
from deploy.fitting import MOST_NAMES, WHOLE, FitError, Path, divided, removal_effects, shapley_values

NAMES = "abcd"
PATHS = st.lists(
    st.builds(
        Path,
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple),
        st.integers(0, 5),
        st.integers(0, 5),
    ),
    min_size=1,
    max_size=6,
).filter(lambda paths: any(path.converted for path in paths))


def test_the_removal_effects_of_a_worked_example() -> None:
    """The three journeys with which S. Bryl explains ChannelAttribution (analyzecore.com, 2016), by the method of Anderl et al. (2016).

    c1 → c2 → c3 → $        start → c1 2/3, start → c2 1/3; c1 → c2 1/2, c1 → lost 1/2; c2 → c3 1; c3 → $ 1/2, c3 → lost 1/2
    c1 → lost               P($) = (2/3 · 1/2 + 1/3) · 1 · 1/2 = 1/3
    c2 → c3 → lost          without c1: 1/3 · 1 · 1/2 = 1/6, so 1 − 1/2 = 1/2 is lost; without c2 or c3: all
    Shares: 0.5 / 2.5 = 20 %, 1 / 2.5 = 40 %, 40 %.
    """
    paths = [Path(("c1", "c2", "c3"), 1, 0), Path(("c1",), 0, 1), Path(("c2", "c3"), 0, 1)]
    assert removal_effects(paths) == pytest.approx({"c1": 0.5, "c2": 1, "c3": 1})
    shares = {one.name: one.weight / WHOLE for one in fit(paths, 100, "markov")}
    assert shares == pytest.approx({"c1": 0.2, "c2": 0.4, "c3": 0.4})


def test_the_shapley_values_of_the_glove_game() -> None:
    """One left glove, two right ones, and a pair is worth 1: the classic game of Shapley and Shubik (1969).

    Of the 6 orders the left glove completes a pair in 4 (whenever it is not first), each right one in 1: 2/3, 1/6, 1/6.
    As a sum of unanimity games: {l, r1} + {l, r2} − {l, r1, r2}.
    """
    paths = [Path(("l", "r1"), 1, 0), Path(("r2", "l"), 1, 0), Path(("l", "r1", "r2"), -1, 0)]
    assert shapley_values(paths) == {"l": Fraction(2, 3), "r1": Fraction(1, 6), "r2": Fraction(1, 6)}


@given(PATHS)
def test_removal_effects_are_those_of_walking_the_graph(paths: list[Path]) -> None:
    whole = walked(paths, None)
    assert removal_effects(paths) == pytest.approx(
        {name: 1 - walked(paths, name) / whole for path in paths for name in path.names}, abs=1e-6
    )


def walked(paths: list[Path], removed: str | None) -> float:
    """How many of all who start convert: everybody is followed, step by step, until hardly one is left."""
    ways: dict[str, dict[str, int]] = {}
    for path in paths:
        for ending, count in (("$", path.converted), ("lost", path.unconverted)):
            for before, after in zip(("start", *path.names), (*path.names, ending), strict=True):
                ways.setdefault(before, {}).setdefault(after, 0)
                ways[before][after] += count
    here, converted = {"start": 1.0}, 0.0
    while sum(here.values()) > 1e-9:
        there: dict[str, float] = {}
        for before, mass in here.items():
            total = sum(ways[before].values())
            for after, count in ways[before].items():
                there[after] = there.get(after, 0) + (mass * count / total if total else 0)
        converted += there.pop("$", 0)
        here = {name: mass for name, mass in there.items() if name not in ("lost", removed)}
    return converted


@given(PATHS)
def test_shapley_values_are_those_of_all_coalitions_and_efficient(paths: list[Path]) -> None:
    values = shapley_values(paths)
    assert values == {name: by_coalitions(paths, sorted(values), name) for name in values}
    assert sum(values.values()) == sum(path.converted for path in paths)


def by_coalitions(paths: list[Path], names: list[str], name: str) -> Fraction:
    """The definition: what the name adds to each coalition of others, weighed by the orders in which they come before it."""
    others, n = [one for one in names if one != name], len(names)
    total = Fraction(0)
    for size in range(n):
        for coalition in combinations(others, size):
            added = worth(paths, {*coalition, name}) - worth(paths, set(coalition))
            total += Fraction(factorial(size) * factorial(n - size - 1), factorial(n)) * added
    return total


def worth(paths: list[Path], coalition: set[str]) -> int:
    return sum(path.converted for path in paths if set(path.names) <= coalition)


def test_who_does_the_same_earns_the_same_and_who_does_nothing_nothing() -> None:
    paths = [Path(("a", "b"), 3, 1), Path(("b", "a"), 2, 0), Path(("idle",), 0, 9)]
    assert shapley_values(paths) == {"a": Fraction(5, 2), "b": Fraction(5, 2), "idle": 0}


@given(st.integers(0, 10**15), st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=1))
def test_parts_add_up_and_are_off_by_less_than_one(total: int, shares: dict[str, float]) -> None:
    whole = sum(map(Fraction, shares.values()))
    if not whole:
        with pytest.raises(FitError, match="worth nothing"):
            divided(total, shares)
        return
    parts = divided(total, shares)
    assert sum(parts.values()) == total
    assert all(abs(parts[name] - total * Fraction(share) / whole) < 1 for name, share in shares.items())


def test_what_cannot_be_fitted_is_refused() -> None:
    for model in ("markov", "shapley"):
        with pytest.raises(FitError, match="no journey"):
            fit([Path(("a",), 0, 3)], 0, model)
    with pytest.raises(FitError, match="too many"):
        removal_effects([Path((str(number),), 1, 0) for number in range(MOST_NAMES + 1)])
