"""Columns as buffers, whatever way the column came to be."""

import numpy as np
import polars as pl
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streams.steps.columns import (
    Bytes,
    bytes_of,
    coded,
    spread,
    string_array,
    string_bytes,
    string_lengths,
    words_of,
)

texts = st.lists(st.text(max_size=20))


def rows_of(content: Bytes) -> list[str]:
    data = content.data.tobytes()
    return [
        data[start:end].decode() for start, end in zip(content.offsets[:-1], content.offsets[1:], strict=True)
    ]


@given(texts, texts)
def test_string_bytes_of_whole_chunked_sliced_and_filtered_columns(
    first: list[str], second: list[str]
) -> None:
    whole = pl.Series(first, dtype=pl.String)
    chunked = pl.concat([whole, pl.Series(second, dtype=pl.String)], rechunk=False)
    for column in (whole, chunked, chunked[1:-1], chunked.filter(chunked != "")):
        assert rows_of(string_bytes(column)) == column.to_list()


@given(texts)
def test_there_and_back(values: list[str]) -> None:
    column = pl.Series(values, dtype=pl.String)
    assert string_array(string_bytes(column)).to_pylist() == values


def test_nulls_are_empty() -> None:
    assert rows_of(bytes_of(pa.array([b"a", None, b"bc"], pa.large_binary())[1:])) == ["", "bc"]
    assert rows_of(string_bytes(pl.Series(["a", None, "bc"]))) == ["a", "", "bc"]


@given(texts)
def test_codes_stand_for_the_values(values: list[str]) -> None:
    codes, distinct = coded(pl.Series(values, dtype=pl.String))
    assert [distinct[code] for code in codes.tolist()] == values
    assert distinct == list(dict.fromkeys(values))


@given(st.binary(max_size=30))
def test_words_overlap(content: bytes) -> None:
    data = np.frombuffer(content, dtype=np.uint8)
    expected = [int.from_bytes(content[place : place + 8], "little") for place in range(len(content) - 7)]
    assert words_of(data).tolist() == expected


@given(texts, st.lists(st.text(max_size=20), min_size=1), st.data())
def test_lengths_are_of_bytes(first: list[str], second: list[str], data: st.DataObject) -> None:
    column = pl.concat([pl.Series(first, dtype=pl.String), pl.Series(second, dtype=pl.String)], rechunk=False)
    part = column[data.draw(st.integers(0, len(column))) :]
    assert string_lengths(part).tolist() == [len(text.encode()) for text in part]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.data())
def test_spread_values_over_rows(values: list[str], data: st.DataObject) -> None:
    codes = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=20))
    column = spread("name", values, np.array(codes, dtype=np.int32))
    assert column.name == "name" and column.dtype == pl.String
    assert column.to_list() == [values[code] for code in codes]
    assert column.filter(column != values[0]).to_list() == [
        values[code] for code in codes if values[code] != values[0]
    ]
