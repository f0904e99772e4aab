"""INSERT over HTTP: the data go to a private file, then the engine reads them as one statement."""

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.clickhouse.answers import Runner
from deploy.embedded.clickhouse.cursor import Source
from deploy.embedded.clickhouse.engine import literal
from deploy.embedded.clickhouse.errors import NOT_ENOUGH_SPACE, ServerError
from deploy.embedded.clickhouse.registry import Running
from deploy.embedded.clickhouse.statements import Insert

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Data:
    """What to insert: the statement's head, the format and the bytes."""

    insert: Insert
    format: str
    stream: Source


@dataclass(frozen=True, slots=True)
class Stored:
    """Rows and bytes that an INSERT has brought."""

    rows: int
    size: int


class Pieces(io.RawIOBase):
    """A file that gives one piece after the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """The next piece, whatever its size; nothing at the end."""
        return next(self._pieces, b"")


def store(data: Data, running: Running, runner: Runner, folder: Path) -> Stored:
    """Receive the data, insert them. Raises ServerError; a client that vanishes leaves nothing in the table."""
    insert = data.insert
    # The name is the statement's own: the engine must not take the file for one it has seen.
    path = folder / f"{running.number}.http"
    try:
        size = _receive(data.stream, path)
        if size == 0:
            # There is nothing to insert, but a table that does not exist is still an error.
            runner.lane.rows(f"DESCRIBE TABLE {insert.target}", running.context)
            return Stored(0, 0)
        settings = f"SETTINGS {insert.settings} " if insert.settings else ""
        head = f"{running.marker} INSERT INTO {insert.target} {insert.columns}"
        sql = f"{head} FROM INFILE {literal(str(path))} {settings}FORMAT {data.format}"
        with runner.registry.in_engine(running):
            chunk = runner.lane.query(sql, running.context)
        return Stored(chunk.rows_written, size)
    finally:
        path.unlink(missing_ok=True)


def _receive(stream: Source, path: Path) -> int:
    """Write a stream to a new file that only its owner can read; returns its size in bytes."""
    size = 0
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while piece := stream.read(PIECE_BYTES):
                file.write(piece)
                size += len(piece)
    except OSError as error:
        raise ServerError(
            NOT_ENOUGH_SPACE, f"Cannot keep the data until their insert: {error}. (NOT_ENOUGH_SPACE)"
        ) from error
    return size
