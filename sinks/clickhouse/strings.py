"""String columns of Polars as native bytes or as keys and codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sinks.clickhouse import kernels

Buffer = npt.NDArray[Any]
_NO_BYTES = np.empty(0, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Views:
    """A string or binary column as Arrow holds it: words of its views, addresses of its data, validity. ``array`` keeps the memory alive."""

    array: pa.Array
    words: npt.NDArray[np.uint64]
    buffers: npt.NDArray[np.uint64]
    valid: npt.NDArray[np.uint8]
    first: int


def views_of(values: pl.Series) -> Views:
    """Return the views of a column of strings or binaries."""
    array = values.rechunk().to_arrow(compat_level=pl.CompatLevel.newest())
    bitmap, words, *data = array.buffers()
    return Views(
        array,
        np.frombuffer(words, dtype=np.uint64).reshape(-1, 2)[array.offset : array.offset + len(array)],
        np.array([buffer.address for buffer in data], dtype=np.uint64),
        np.frombuffer(bitmap, dtype=np.uint8) if bitmap is not None and array.null_count else _NO_BYTES,
        array.offset,
    )


def pack(views: Views) -> Buffer:
    """Return the strings as varint lengths and bytes; nulls are empty."""
    return _pack(views.words, views.buffers, views.valid, views.first)


def pack_fixed(views: Views, width: int) -> Buffer:
    """Return the strings in ``width`` bytes each, filled up with zero bytes as ClickHouse does. Raises ValueError where one is longer."""
    out = np.zeros(len(views.words) * width, dtype=np.uint8)
    row = kernels.pack_fixed(views.words, views.buffers, views.valid, views.first, width, out)
    if row >= 0:
        raise ValueError(f"row {row}: longer than {width} bytes")
    return out


def encode(views: Views) -> tuple[Views, npt.NDArray[np.uint32]]:
    """Return the distinct strings (the first is empty) and one code per row. Nulls are empty strings."""
    codes = np.empty(len(views.words), dtype=np.uint32)
    keys = np.empty((len(views.words) + 1, 2), dtype=np.uint64)
    distinct = kernels.encode_views(views.words, views.buffers, views.valid, views.first, codes, keys)
    return Views(views.array, keys[:distinct], views.buffers, _NO_BYTES, 0), codes


def texts(views: Views) -> list[str]:
    """Return the strings themselves: for distinct ones, and few."""
    packed = pack(views).tobytes()
    found, place = [], 0
    while place < len(packed):
        length, place = _read_varint(packed, place)
        found.append(packed[place : place + length].decode())
        place += length
    return found


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while data[place] & 128:
        number |= (data[place] & 127) << shift
        place, shift = place + 1, shift + 7
    return number | data[place] << shift, place + 1


def _pack(
    words: npt.NDArray[np.uint64], buffers: npt.NDArray[np.uint64], valid: Buffer, first: int
) -> Buffer:
    out = np.empty(kernels.packed_size(words, valid, first) + kernels.SLACK, dtype=np.uint8)
    return out[: kernels.pack_views(words, buffers, valid, first, out)]
