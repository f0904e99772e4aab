"""Packing a frame into a block of ClickHouse's native format.

Columns go from Arrow's buffers to native bytes in compiled loops: no Python object per value, and the GIL is free most of the time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sinks.clickhouse import strings
from sinks.clickhouse.columns import Column, Form

Buffer = npt.NDArray[Any]

_DICTIONARY_VERSION = 1
_HAS_KEYS = 1 << 9
_NEW_DICTIONARY = 1 << 10


@dataclass(frozen=True, slots=True)
class PackedColumn:
    """One column's values as native bytes, in one or more buffers."""

    column: Column
    buffers: tuple[Buffer, ...]


@dataclass(frozen=True, slots=True)
class Block:
    """Rows packed for an insert. Columns of the table that are not in it get their defaults from the server."""

    rows: int
    columns: tuple[PackedColumn, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return sum(buffer.nbytes for packed in self.columns for buffer in packed.buffers)

    def chunks(self) -> Iterator[memoryview]:
        """Yield the block as the native format has it, without the block info that precedes it on a connection."""
        yield memoryview(varint(len(self.columns)) + varint(self.rows))
        for packed in self.columns:
            yield memoryview(_text(packed.column.name) + _text(packed.column.type))
            for buffer in packed.buffers:
                yield buffer.data.cast("B")


def pack_block(frame: pl.DataFrame, columns: Sequence[Column]) -> Block:
    """Pack ``frame`` for a table of ``columns``.

    Times are integers in the column's ticks, a UUID ``x_id`` is two UInt64 columns ``x_hi`` and ``x_lo``, an Enum8 is its names or its numbers. A
    null is the column's default, except in a Nullable. Columns of ``columns`` that the frame lacks, or has only nulls of, are left out: the
    server fills in defaults. Columns of the frame that the table lacks are ignored.
    """
    height = frame.height
    present = [column for column in columns if _present(frame, column)]
    return Block(height, tuple(PackedColumn(column, _packed(frame, column)) for column in present))


def _present(frame: pl.DataFrame, column: Column) -> bool:
    return all(name in frame.columns and frame[name].null_count() < frame.height for name in column.inputs)


def _packed(frame: pl.DataFrame, column: Column) -> tuple[Buffer, ...]:
    form = column.form
    values = [frame[name].rechunk() for name in column.inputs]
    if form is Form.UUID:
        return (_halves(*values),)
    if form is Form.NUMBER:
        return (_numbers(values[0], column.number),)
    if form is Form.NULLABLE_NUMBER:
        return values[0].is_null().cast(pl.UInt8).to_numpy(), _numbers(values[0], column.number)
    if form is Form.ENUM:
        return (_members(values[0], column.members),)
    if form is Form.FIXED_STRING:
        return (strings.pack_fixed(strings.views_of(values[0]), column.width),)
    if form is Form.STRING:
        return (strings.pack(strings.views_of(values[0])),)
    return _dictionary(values[0])


def _numbers(values: pl.Series, kind: Any) -> Buffer:
    return np.ascontiguousarray(values.cast(kind).fill_null(0).rechunk().to_numpy())


def _halves(high: pl.Series, low: pl.Series) -> Buffer:
    """A UUID is two little-endian words, the more significant one first."""
    out = np.empty((len(high), 2), dtype=np.uint64)
    out[:, 0] = _numbers(high, pl.UInt64)
    out[:, 1] = _numbers(low, pl.UInt64)
    return out.reshape(-1)


def _members(values: pl.Series, members: dict[str, int]) -> Buffer:
    if values.dtype != pl.String:
        return _numbers(values, pl.Int8)
    keys, codes = strings.encode(strings.views_of(values))
    names = strings.texts(keys)
    default = min(members.values())
    return np.array([members[name] if name else default for name in names], dtype=np.int8)[codes]


def _dictionary(values: pl.Series) -> tuple[Buffer, ...]:
    """A dictionary: version, flags with the width of the codes, the keys, the codes."""
    keys, codes = strings.encode(strings.views_of(values))
    count = len(keys.words)
    width = 0 if count <= 1 << 8 else 1 if count <= 1 << 16 else 2
    narrow = codes.astype((np.uint8, np.uint16, np.uint32)[width], copy=False)
    head = np.array([_DICTIONARY_VERSION, width | _HAS_KEYS | _NEW_DICTIONARY, count], dtype=np.uint64)
    return head, strings.pack(keys), np.array([len(codes)], dtype=np.uint64), narrow


def varint(number: int) -> bytes:
    """Return ``number`` in 7 bits a byte, the least significant first."""
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return varint(len(encoded)) + encoded
