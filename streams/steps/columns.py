"""Passage between frames and plain buffers, for the compiled kernels."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

META_SCHEMA = pl.Schema(
    {"_partition": pl.Int32, "_offset": pl.Int64, "_record_time": pl.Int64, "_row": pl.UInt32}
)
"""Columns that every frame carries: where each row came from, and its index in the raw batch."""

_WORD = 8


class Bytes(NamedTuple):
    """n byte strings laid end to end: row i is ``data[offsets[i]:offsets[i + 1]]``. int64[n + 1], uint8[...]."""

    offsets: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]


class Coded(NamedTuple):
    """A column as one code per row, int32[n], into its distinct values."""

    codes: npt.NDArray[np.int32]
    values: list[str]


def bytes_of(array: pa.Array) -> Bytes:
    """Return the buffers of an Arrow array of type large_binary or large_string, without a copy. Nulls are empty."""
    _, offsets, data = array.buffers()
    starts = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return Bytes(starts, np.frombuffer(data if data is not None else b"", dtype=np.uint8))


def string_bytes(column: pl.Series) -> Bytes:
    """Return the UTF-8 of a string column. Nulls are empty."""
    array = column.rechunk().to_arrow()
    return bytes_of(array if array.type == pa.large_string() else array.cast(pa.large_string()))


def string_array(content: Bytes) -> pa.Array:
    """Return valid UTF-8 as an Arrow array of type large_string, without a copy."""
    buffers = [None, pa.py_buffer(content.offsets), pa.py_buffer(content.data)]
    return pa.Array.from_buffers(pa.large_string(), len(content.offsets) - 1, buffers)


def words_of(data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return ``data`` as overlapping little-endian words: element i is the 8 bytes from i. A view, for reading only."""
    count = max(0, len(data) - _WORD + 1)
    return np.ndarray(shape=(count,), dtype="<u8", buffer=data, strides=(1,))


def string_lengths(column: pl.Series) -> npt.NDArray[np.int32]:
    """Return the bytes of UTF-8 in each string, int32[n]; a view where the column is in one piece. Nulls are not allowed."""
    array = _views(column)
    return np.frombuffer(array.buffers()[1], dtype="<i4").reshape(-1, 4)[
        array.offset : array.offset + len(array), 0
    ]


def spread(name: str, values: Sequence[str], codes: npt.NDArray[np.integer]) -> pl.Series:
    """Return the string column of ``values[codes]``; the texts themselves are stored once."""
    array = _views(pl.Series(values, dtype=pl.String))
    _, views, *texts = array.buffers()
    pairs = np.frombuffer(views, dtype=np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)]
    chosen = pa.py_buffer(pairs.take(codes, axis=0))
    return pl.Series(name, pa.Array.from_buffers(pa.string_view(), len(codes), [None, chosen, *texts]))


def _views(column: pl.Series) -> pa.Array:
    """Return a column as Arrow string views: per string 16 bytes that begin with its length."""
    return column.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())


def coded(column: pl.Series) -> Coded:
    """Return a string column as codes into its distinct values, in order of appearance."""
    return coded_array(column.rechunk().to_arrow())


def coded_array(array: pa.Array) -> Coded:
    """Return an Arrow string array without nulls as codes into its distinct values, in order of appearance."""
    encoded = array.dictionary_encode()
    return Coded(encoded.indices.to_numpy(), encoded.dictionary.to_pylist())
