"""The Native format for clients that name a protocol revision: block info, and a byte for each column's kind."""

from collections.abc import Iterator

import numpy as np

from deploy.embedded.clickhouse.blocks import BLOCK_INFO, LARGEST_NAME, cut, skip_column, skip_info
from deploy.embedded.clickhouse.cursor import Cursor, FileCursor, Source
from deploy.embedded.clickhouse.errors import refused
from deploy.embedded.clickhouse.wire import text, varint

# From this revision on every column says whether it is stored in another way (sparse): ours never is.
WITH_KINDS = 54454
ORDINARY = b"\x00"


def dressed(result: memoryview, revision: int) -> Iterator[bytes | memoryview]:
    """Blocks of revision 0 as a client of `revision` reads them. Raises ServerError for types it cannot step over."""
    if revision == 0:
        yield result
        return
    for block, _ in cut(result):
        yield BLOCK_INFO
        if revision < WITH_KINDS:
            yield block
        else:
            yield from _with_kinds(block)


def _with_kinds(block: memoryview) -> Iterator[bytes | memoryview]:
    cursor = _over(block)
    width, rows = cursor.varint(), cursor.varint()
    yield block[: cursor.position]
    for _ in range(width):
        start = cursor.position
        cursor.text(LARGEST_NAME)
        kind = cursor.text(LARGEST_NAME)
        yield block[start : cursor.position]
        yield ORDINARY
        start = cursor.position
        skip_column(cursor, kind, rows)
        yield block[start : cursor.position]


def undressed(stream: Source, revision: int) -> Iterator[bytes]:
    """Blocks that a client of `revision` sends, in revision 0. Raises ServerError, Truncated, ProtocolError."""
    cursor = FileCursor(stream)
    while cursor.more():
        skip_info(cursor)
        width, rows = cursor.varint(), cursor.varint()
        yield varint(width) + varint(rows)
        for _ in range(width):
            yield _column(cursor, rows, revision)
        cursor.forget()


def _column(cursor: FileCursor, rows: int, revision: int) -> bytes:
    name, kind = cursor.text(LARGEST_NAME), cursor.text(LARGEST_NAME)
    if revision >= WITH_KINDS and cursor.byte() != 0:
        raise refused(f"a sparse column ({name})")
    start = cursor.position
    skip_column(cursor, kind, rows)
    return text(name) + text(kind) + bytes(cursor.view[start : cursor.position])


def _over(block: memoryview) -> Cursor:
    return Cursor(np.frombuffer(block, np.uint8), len(block))
