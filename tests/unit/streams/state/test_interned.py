"""Strings by small numbers."""

import time
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from streams.state.interned import Interned
from streams.steps.columns import string_bytes

TEXTS = ["b", "", "a", "b", "", "c"]


def test_each_text_has_one_number() -> None:
    interned = Interned()
    interned.codes(pl.Series(["x", "a"]))
    codes = interned.codes(pl.Series(TEXTS))
    assert interned.series(codes).to_list() == TEXTS
    assert codes[0] == codes[3]
    assert (codes == 0).tolist() == [text == "" for text in TEXTS]
    assert set(interned.texts) == {"", "x", "a", "b", "c"}


def test_numbers_stay() -> None:
    """And what was made of bytes is what is made of texts."""
    interned = Interned()
    codes = interned.codes(pl.Series(["x", "größer", ""]))
    assert interned.codes(pl.Series(codes)).tolist() == codes.tolist()
    assert interned.of_bytes(*string_bytes(pl.Series(["", "größer", "x"]))).tolist() == codes[::-1].tolist()


def test_of_nothing() -> None:
    assert Interned().codes(pl.Series([], dtype=pl.String)).tolist() == []


class Slow(list[str]):
    """A list whose length is told so late that it may be another one by then."""

    def __len__(self) -> int:
        length = super().__len__()
        time.sleep(0.05)
        return length


def test_two_threads_number_at_the_same_time() -> None:
    interned = Interned(texts=Slow([""]))
    with ThreadPoolExecutor(2) as threads:
        numbers = list(threads.map(interned.of, (["a", "b"], ["c", "b"])))
    assert sorted({*numbers[0].tolist(), *numbers[1].tolist()}) == [1, 2, 3]
    assert numbers[0][1] == numbers[1][1] == interned.texts.index("b")
