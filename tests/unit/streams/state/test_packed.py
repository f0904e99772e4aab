"""Texts and hashes by hash, packed."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.state import packed
from streams.state.packed import WAITING, Lists, Texts

NUMBERS = st.integers(1, 30)


@pytest.fixture(autouse=True)
def _few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of what the tests put waits, some is packed."""
    monkeypatch.setattr(packed, "WAITING", 7)


@given(st.lists(NUMBERS, max_size=200))
def test_texts_are_what_was_put(numbers: list[int]) -> None:
    texts = Texts()
    for number in numbers:
        texts.put(number, f"visitor-{number}-ü")
        assert texts.get(number) == f"visitor-{number}-ü"
    assert [texts.get(number) for number in numbers] == [f"visitor-{number}-ü" for number in numbers]


def test_what_was_not_put_is_an_error() -> None:
    texts = Texts()
    texts.put(1, "one")
    with pytest.raises(KeyError):
        texts.get(2)


@given(st.lists(NUMBERS, max_size=40), st.lists(NUMBERS, max_size=40))
def test_many_texts_at_once(some: list[int], more: list[int]) -> None:
    texts = Texts()
    for number in some:
        texts.put(number, f"ü{number}")
    # Those that are known stay as they are.
    texts.fill(np.array(more, dtype=np.uint64), pl.Series([f"ü{number}" for number in more], dtype=pl.String))
    wanted = np.array([*more, *some], dtype=np.uint64)
    assert texts.of(wanted) == [f"ü{number}" for number in wanted]
    with pytest.raises(KeyError):
        texts.of(np.array([*some, 31], dtype=np.uint64))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=200))
def test_lists_are_what_was_added(pairs: list[tuple[int, int]]) -> None:
    lists, known = Lists(), dict[int, list[int]]()
    for place, (key, value) in enumerate(pairs):
        if place % 17:
            lists.add(key, value)
        else:
            lists.fill(*np.array([(key, value)], dtype=np.uint64).T)
        known.setdefault(key, []).append(value)
        assert sorted(lists.of(key)) == sorted(known[key])
        if place % 11 == 0:
            assert lists.holds(np.arange(31, dtype=np.uint64)).tolist() == [key in known for key in range(31)]
    assert lists.count == len(pairs)
    assert all(sorted(lists.of(key)) == sorted(known.get(key, ())) for key in range(1, 31))


def test_what_was_returned_stays_as_it_is() -> None:
    lists = Lists()
    lists.add(1, 2)
    before = lists.of(1)
    lists.add(1, 3)
    assert before == [2]


def test_who_belongs_to_whom_takes_little() -> None:
    """Ids of 36 characters: 36 bytes and some 80 more per visitor, whatever the size of a Python object."""
    texts, lists, count = Texts(), Lists(), 100 * WAITING
    for number in range(1, count + 1):
        texts.put(number, f"{number:036}")
        lists.add(number, count + 1 - number)
    assert (texts.nbytes + lists.nbytes) / count < 36 + 150
