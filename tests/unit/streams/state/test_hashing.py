"""Hashes of strings: one at a time, or as a column."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from streams.state.hashing import hash_of, string_hashes


@given(st.lists(st.text()))
def test_one_text_has_the_hash_that_it_has_in_a_column(texts: list[str]) -> None:
    assert [hash_of(text) for text in texts] == string_hashes(pl.Series(texts, dtype=pl.String)).tolist()


def test_only_the_empty_text_has_the_hash_0() -> None:
    assert hash_of("") == 0
    assert 0 not in [hash_of(text) for text in ("\0", "\0" * 8, "a")]


def test_hashes_are_xxh64() -> None:
    """ClickHouse makes them, too; these are values of the algorithm's own implementation."""
    assert [hash_of(text) for text in ("a", "abc")] == [0xD24EC4F1A98C6E5B, 0x44BC2CF5AD770999]
