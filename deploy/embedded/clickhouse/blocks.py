"""Native blocks: where one ends, what it holds, and headers without rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.embedded.clickhouse.cursor import Cursor
from deploy.embedded.clickhouse.errors import ProtocolError
from deploy.embedded.clickhouse.kernels import skip_strings
from deploy.embedded.clickhouse.layout import (
    Array,
    Fixed,
    Layout,
    LowCardinality,
    Nullable,
    Text,
    Tuple,
    layout_of,
)
from deploy.embedded.clickhouse.wire import text, varint

ADDITIONAL_KEYS = 1 << 9
GLOBAL_DICTIONARY = 1 << 8
LARGEST_NAME = 1 << 20
# A block's info: not overflown, no bucket.
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"


@dataclass(frozen=True, slots=True)
class Extent:
    """A native block (without its info) is cursor.data[start:end]; `columns` are names and types."""

    start: int
    end: int
    columns: tuple[tuple[str, str], ...]
    rows: int


def skip_info(cursor: Cursor) -> None:
    """Step over a block's info: numbered fields, ended by 0."""
    while (field := cursor.varint()) != 0:
        if field not in (1, 2):
            raise ProtocolError(f"unknown field {field} in a block's info")
        cursor.skip(1 if field == 1 else 4)


def skip_block(cursor: Cursor) -> Extent:
    """Step over one block. Raises ServerError for a type whose end cannot be found, by its name."""
    start = cursor.position
    width, rows = cursor.varint(), cursor.varint()
    columns = []
    for _ in range(width):
        columns.append((cursor.text(LARGEST_NAME), cursor.text(LARGEST_NAME)))
        skip_column(cursor, columns[-1][1], rows)
    return Extent(start, cursor.position, tuple(columns), rows)


def skip_column(cursor: Cursor, kind: str, rows: int) -> None:
    """Step over the values of one column. Raises ServerError for a type whose end cannot be found, by its name."""
    if rows:
        layout = layout_of(kind)
        _skip_prefix(cursor, layout)
        _skip_values(cursor, layout, rows)


def cut(result: memoryview) -> Iterator[tuple[memoryview, Extent]]:
    """The blocks of a result in native format."""
    cursor = Cursor(np.frombuffer(result, np.uint8), len(result))
    while cursor.position < cursor.end:
        extent = skip_block(cursor)
        yield cursor.view[extent.start : extent.end], extent


def header(columns: Sequence[tuple[str, str]]) -> bytes:
    """A block with these (name, type) columns and no rows."""
    names = b"".join(text(name) + text(kind) for name, kind in columns)
    return varint(len(columns)) + varint(0) + names


def _skip_prefix(cursor: Cursor, layout: Layout) -> None:
    """All prefixes of a column come before all of its values."""
    match layout:
        case LowCardinality():
            cursor.skip(8)
        case Nullable(inner) | Array(inner):
            _skip_prefix(cursor, inner)
        case Tuple(parts):
            for part in parts:
                _skip_prefix(cursor, part)


def _skip_values(cursor: Cursor, layout: Layout, rows: int) -> None:
    match layout:
        case Fixed(size):
            cursor.skip(size * rows)
        case Text():
            _skip_texts(cursor, rows)
        case Nullable(inner):
            cursor.skip(rows)
            _skip_values(cursor, inner, rows)
        case Array(inner):
            if rows:
                cursor.skip(8 * (rows - 1))
                _skip_values(cursor, inner, cursor.uint64())
        case Tuple(parts):
            for part in parts:
                _skip_values(cursor, part, rows)
        case LowCardinality(inner):
            _skip_dictionaries(cursor, inner, rows)


def _skip_texts(cursor: Cursor, rows: int) -> None:
    while True:
        position, rows, missing = skip_strings(cursor.data, cursor.position, cursor.end, rows)
        cursor.position = int(position)
        if missing < 0:
            raise ProtocolError("a string's length is malformed")
        if rows == 0:
            return
        cursor.require(cursor.end - cursor.position + int(missing))


def _skip_dictionaries(cursor: Cursor, inner: Layout, rows: int) -> None:
    """Groups of kind, keys (number and values), indexes (number and values), until every row has its own."""
    while rows > 0:
        kind = cursor.uint64()
        if kind & GLOBAL_DICTIONARY:
            raise ProtocolError("a dictionary shared between blocks")
        if kind & ADDITIONAL_KEYS:
            _skip_values(cursor, inner, cursor.uint64())
        indexes = cursor.uint64()
        if not 0 < indexes <= rows:
            raise ProtocolError("a dictionary's indexes do not match the rows")
        cursor.skip(indexes << (kind & 0xFF))
        rows -= indexes
