"""A request's body: where the statement ends in it, and where its data begin."""

import io
from dataclasses import dataclass

from deploy.embedded.clickhouse.cursor import Source
from deploy.embedded.clickhouse.errors import QUERY_IS_TOO_LARGE, ServerError
from deploy.embedded.clickhouse.statements import Insert, read_insert

# An INSERT's head must end within the first of these; a statement without data may have the second.
HEAD_BYTES = 1 << 18
LARGEST_STATEMENT = 1 << 26


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement, and the data behind an INSERT (None for others)."""

    text: str
    insert: Insert | None
    data: Source | None


def read_statement(text: str, body: Source) -> Statement:
    """The statement in a parameter (`text`), in the body, or begun in one and continued in the other."""
    insert = read_insert(text)
    if insert is not None and insert.data == "blocks" and text[insert.end :].strip() in ("", ";"):
        return Statement(text[: insert.end], insert, body)
    head = _read(body, HEAD_BYTES)
    whole = "\n".join(part for part in (text, _decoded(head)) if part)
    insert = read_insert(whole)
    if insert is not None and insert.data != "select":
        first = whole[data_start(whole, insert) :].encode(errors="surrogateescape")
        return Statement(whole[: insert.end], insert, _Joined(first, body))
    rest = _read(body, LARGEST_STATEMENT)
    if body.read(1):
        raise ServerError(
            QUERY_IS_TOO_LARGE,
            f"The statement is larger than {LARGEST_STATEMENT} bytes. (QUERY_IS_TOO_LARGE)",
        )
    whole = "\n".join(part for part in (text, _decoded(head + rest)) if part)
    return Statement(whole, insert, None)


def data_start(sql: str, insert: Insert) -> int:
    """Where an INSERT's data begin: behind the format's name, blanks and one line end."""
    position, size = insert.end, len(sql)
    if insert.format.upper() != "VALUES" and sql[position : position + 1] == ";":
        position += 1
    while position < size and sql[position] in " \t\f":
        position += 1
    if sql[position : position + 1] == "\r":
        position += 1
    return position + 1 if sql[position : position + 1] == "\n" else position


def _decoded(raw: bytes) -> str:
    # Data may hold any bytes; those that are not UTF-8 come out again as they were.
    return raw.decode(errors="surrogateescape")


def _read(body: Source, size: int) -> bytes:
    """At most `size` bytes; fewer only at the end."""
    pieces, missing = [], size
    while missing > 0 and (piece := body.read(missing)):
        pieces.append(piece)
        missing -= len(piece)
    return b"".join(pieces)


class _Joined(io.RawIOBase):
    """Some bytes, then the rest of a stream."""

    def __init__(self, first: bytes, rest: Source) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._first:
            return self._rest.read(size)
        if size < 0:
            size = len(self._first)
        piece, self._first = self._first[:size], self._first[size:]
        return piece
