"""Reading the blocks of a result as frames: numbers and strings straight from the connection's buffer, no Python object per value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from sinks.clickhouse.columns import Column, Form

Offsets = npt.NDArray[np.int64]
Data = npt.NDArray[np.uint8]
Made = Mapping[str, Callable[[Offsets, Data], npt.NDArray[Any]]]
"""By column: what makes values of texts, given as offsets (int64, one more than texts) and their bytes; without a string for each row."""
_NOTHING: Made = {}
_TEXTS = (Form.STRING, Form.FIXED_STRING)


class Stream(Protocol):
    """What is read from: clickhouse_driver's buffered reader, plain or decompressing."""

    def read(self, count: int) -> bytes:
        """Return exactly ``count`` bytes."""

    def read_one(self) -> int:
        """Return the next byte."""

    def read_strings_arrow(self, rows: int) -> tuple[Any, Any]:
        """Return the offsets (64 bits, one more than rows) and the bytes of a string column."""


@dataclass(slots=True)
class FrameBlock:
    """One block of a result. Has what clickhouse_driver asks of a block."""

    num_rows: int
    columns_with_types: list[tuple[str, str]]
    columns: list[pl.Series] = field(default_factory=list)


def read_block(stream: Stream, made: Made = _NOTHING) -> FrameBlock:
    """Read a block after its block info. Raises UnpackableType at a column that has no place in a frame.

    A DateTime64 becomes its ticks, an Enum8 its numbers, a UUID ``x_id`` its halves ``x_hi`` and ``x_lo``. ``made``: what takes the place of
    columns of String or FixedString, of a LowCardinality for each of the keys that the block has.
    """
    count, rows = _varint(stream), _varint(stream)
    block = FrameBlock(rows, [])
    for _ in range(count):
        column = Column(_text(stream), _text(stream))
        block.columns_with_types.append((column.name, column.type))
        if column.name in made and column.form in _TEXTS:
            texts = _text_bytes(stream, rows, column.width)
            block.columns.append(pl.Series(column.name, made[column.name](*texts)))
        elif column.name in made and column.form is Form.DICTIONARY and rows:
            keys, codes = _keys_and_codes(stream)
            block.columns.append(pl.Series(column.name, made[column.name](*keys)[codes]))
        else:
            block.columns += _values(stream, column, rows)
    return block


def joined(blocks: Sequence[FrameBlock]) -> pl.DataFrame:
    """Return the rows of all blocks; the first one names the columns even if there are no rows."""
    filled = [block for block in blocks if block.num_rows] or list(blocks[:1])
    return (
        pl.concat([pl.DataFrame(block.columns) for block in filled], how="vertical_relaxed", rechunk=True)
        if filled
        else pl.DataFrame()
    )


def _values(stream: Stream, column: Column, rows: int) -> list[pl.Series]:
    form, name = column.form, column.name
    if form is Form.NUMBER:
        return [_numbers(stream, name, column.number, rows)]
    if form is Form.ENUM:
        return [_numbers(stream, name, pl.Int8, rows)]
    if form in _TEXTS:
        return [_strings(stream, name, rows, column.width)]
    if form is Form.DICTIONARY:
        return [_dictionary(stream, name, rows)]
    if form is Form.UUID:
        halves = np.frombuffer(stream.read(16 * rows), dtype=np.uint64).reshape(rows, 2)
        return [pl.Series(half, halves[:, place]) for place, half in enumerate(column.inputs)]
    nulls = np.frombuffer(stream.read(rows), dtype=np.bool_)
    numbers = _numbers(stream, name, column.number, rows)
    return [pl.select(pl.when(pl.lit(pl.Series(~nulls))).then(pl.lit(numbers)).alias(name)).to_series()]


def _numbers(stream: Stream, name: str, kind: Any, rows: int) -> pl.Series:
    dtype = np.dtype(kind.__name__.lower())
    return pl.Series(name, np.frombuffer(stream.read(dtype.itemsize * rows), dtype=dtype), dtype=kind)


def _strings(stream: Stream, name: str, rows: int, width: int = 0) -> pl.Series:
    if not rows:
        return pl.Series(name, dtype=pl.String)
    return _series(name, *_text_bytes(stream, rows, width))


def _series(name: str, offsets: Offsets, data: Data) -> pl.Series:
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return _as_text(name, pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(offsets) - 1, buffers))


def _text_bytes(stream: Stream, rows: int, width: int) -> tuple[Offsets, Data]:
    """Read the texts of a column, of a FixedString if it has a ``width``."""
    if width:
        data = np.frombuffer(stream.read(width * rows), dtype=np.uint8)
        return np.arange(0, width * (rows + 1), width, dtype=np.int64), data
    if not rows:
        return np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.uint8)
    offsets, data = stream.read_strings_arrow(rows)
    return np.frombuffer(offsets, dtype=np.int64), np.frombuffer(data, dtype=np.uint8)


def _as_text(name: str, array: pa.Array) -> pl.Series:
    """Strings if they are UTF-8 throughout, binaries if not: ClickHouse does not ask."""
    values = pl.Series(name, array)
    try:
        return values.cast(pl.String)
    except (pl.exceptions.ComputeError, pl.exceptions.InvalidOperationError):
        return values


def _dictionary(stream: Stream, name: str, rows: int) -> pl.Series:
    if not rows:
        return pl.Series(name, dtype=pl.String)
    keys, codes = _keys_and_codes(stream)
    return _series(name, *keys).gather(pl.Series(codes, dtype=pl.UInt32))


def _keys_and_codes(stream: Stream) -> tuple[tuple[Offsets, Data], npt.NDArray[np.unsignedinteger]]:
    """Read a LowCardinality that has rows: its keys, and which of them each row has."""
    stream.read(8)
    flags = int.from_bytes(stream.read(8), "little")
    keys = _text_bytes(stream, int.from_bytes(stream.read(8), "little"), 0)
    count = int.from_bytes(stream.read(8), "little")
    kind = (np.uint8, np.uint16, np.uint32, np.uint64)[flags & 0xFF]
    return keys, np.frombuffer(stream.read(np.dtype(kind).itemsize * count), dtype=kind)


def _varint(stream: Stream) -> int:
    number = shift = 0
    while (byte := stream.read_one()) & 128:
        number |= (byte & 127) << shift
        shift += 7
    return number | byte << shift


def _text(stream: Stream) -> str:
    return stream.read(_varint(stream)).decode()
