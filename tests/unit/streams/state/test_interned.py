"""Strings by small numbers."""

import polars as pl
import pytest

from streams.state.interned import Interned

TEXTS = ["b", "", "a", "b", "", "c"]


@pytest.mark.parametrize("kind", [pl.String, pl.Enum(["", "never used", "c", "b", "a"])])
def test_each_text_has_one_number(kind: pl.DataType) -> None:
    interned = Interned()
    interned.codes(pl.Series(["x", "a"]))
    codes = interned.codes(pl.Series(TEXTS, dtype=kind))
    assert interned.series(codes).to_list() == TEXTS
    assert codes[0] == codes[3]
    assert (codes == 0).tolist() == [text == "" for text in TEXTS]
    assert set(interned.texts) == {"", "x", "a", "b", "c"}


@pytest.mark.parametrize("kind", [pl.String, pl.Enum(["a"])])
def test_of_nothing(kind: pl.DataType) -> None:
    assert Interned().codes(pl.Series([], dtype=kind)).tolist() == []
