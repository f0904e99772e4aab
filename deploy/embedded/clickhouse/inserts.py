"""INSERT with blocks from the client: they go to a file in memory, then the engine reads them in one go.

The file is read by the engine's own client side (FROM INFILE), so settings, deduplication and constraints are
those of an ordinary insert; a client that vanishes leaves nothing in the table.
"""

import os
from pathlib import Path

from deploy.embedded.clickhouse import blocks, packets
from deploy.embedded.clickhouse.answers import Runner
from deploy.embedded.clickhouse.cursor import GrowingCursor
from deploy.embedded.clickhouse.engine import identifier, literal
from deploy.embedded.clickhouse.errors import (
    LOGICAL_ERROR,
    NOT_ENOUGH_SPACE,
    OutOfStep,
    ProtocolError,
    ServerError,
)
from deploy.embedded.clickhouse.layout import layout_of
from deploy.embedded.clickhouse.output import Output
from deploy.embedded.clickhouse.registry import Running
from deploy.embedded.clickhouse.statements import Insert, tokens

# A file larger than this is not kept at its size from one insert to the next.
KEEP_BYTES = 1 << 26
NOT_INSERTABLE = frozenset({"MATERIALIZED", "ALIAS"})
NOT_BY_DEFAULT = NOT_INSERTABLE | {"EPHEMERAL"}


def target_columns(insert: Insert, running: Running, runner: Runner) -> list[tuple[str, str]]:
    """Names and types of the columns to ask the client for. Raises ServerError, also for types not passed."""
    described = runner.lane.rows(f"DESCRIBE TABLE {insert.target}", running.context)
    kinds = {str(row[0]): (str(row[1]), str(row[2])) for row in described}
    names = _listed(insert.columns)
    if names is None:
        selected = runner.lane.rows(
            f"DESCRIBE (SELECT {insert.columns[1:-1]} FROM {insert.target})", running.context
        )
        names = [str(row[0]) for row in selected]
    elif not names:
        names = [name for name, (_, default) in kinds.items() if default not in NOT_BY_DEFAULT]
    elif any(name not in kinds or kinds[name][1] in NOT_INSERTABLE for name in names):
        _provoke(insert, len(names), running, runner)
    columns = [(name, kinds[name][0]) for name in names]
    for _, kind in columns:
        layout_of(kind)
    return columns


class Receiver:
    """The blocks of one INSERT after the other, in one file that is kept: new memory costs more than the copy."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "never.native"
        self.rows = 0
        self.size = 0
        self._folder = folder
        self._handle = -1

    def begin(self, number: int) -> None:
        """Start anew, under the statement's number: the engine must not take the file for one it has seen."""
        path = self._folder / f"{number}.native"
        try:
            if self._handle < 0:
                self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            else:
                self.path.rename(path)
            os.lseek(self._handle, 0, os.SEEK_SET)
        except OSError as error:
            raise _no_space(error) from error
        self.path, self.rows, self.size = path, 0, 0

    def complete(self) -> None:
        """Cut off what an earlier, larger insert has left behind."""
        os.ftruncate(self._handle, self.size)

    def end(self) -> None:
        """Give the memory of a large insert back."""
        if self.size > KEEP_BYTES:
            os.ftruncate(self._handle, 0)

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self.path.unlink(missing_ok=True)
            self._handle = -1

    def add(self, cursor: GrowingCursor) -> bool:
        """Receive and keep a block; False for the empty one at the end. Raises ServerError, Truncated."""
        blocks.skip_info(cursor)
        extent = blocks.skip_block(cursor)
        if not extent.columns:
            return False
        if extent.rows:
            self._write(cursor.view[extent.start : extent.end])
            self.rows += extent.rows
        return True

    def _write(self, block: memoryview) -> None:
        self.size += len(block)
        try:
            while block:
                block = block[os.write(self._handle, block) :]
        except OSError as error:
            raise _no_space(error) from error


def _no_space(error: OSError) -> ServerError:
    return ServerError(
        NOT_ENOUGH_SPACE, f"Cannot keep the block until its insert: {error}. (NOT_ENOUGH_SPACE)"
    )


def receive(cursor: GrowingCursor, plain: GrowingCursor, receiver: Receiver) -> None:
    """Receive data packets up to the empty block. `plain` is where their blocks are read from. Raises OutOfStep."""
    try:
        _receive(cursor, plain, receiver)
    except ServerError as error:
        raise OutOfStep(error) from error


def _receive(cursor: GrowingCursor, plain: GrowingCursor, receiver: Receiver) -> None:
    while True:
        packet = cursor.varint()
        if packet != packets.FromClient.DATA:
            raise ProtocolError(f"packet {packet} in the middle of an insert's data")
        cursor.text(packets.SHORT_TEXT)
        more = receiver.add(plain)
        forget(cursor, plain)
        if not more:
            return


def forget(*cursors: GrowingCursor) -> None:
    for cursor in cursors:
        cursor.forget()


def land(
    insert: Insert, columns: list[tuple[str, str]], receiver: Receiver, running: Running, runner: Runner
) -> None:
    """Insert what was received, as one statement."""
    if receiver.rows == 0:
        return
    receiver.complete()
    names = ", ".join(identifier(name) for name, _ in columns)
    settings = f"SETTINGS {insert.settings} " if insert.settings else ""
    target = f"{running.marker} INSERT INTO {insert.target} ({names})"
    sql = f"{target} FROM INFILE {literal(str(receiver.path))} {settings}FORMAT Native"
    with runner.registry.in_engine(running):
        runner.lane.query(sql, running.context)


def ask(columns: list[tuple[str, str]], out: Output, compressed: bool) -> None:
    """Send the block without rows that tells the client what to send."""
    out.block(blocks.header(columns), compressed)
    out.flush()


def _listed(columns: str) -> list[str] | None:
    """The names in `(a, b.c)`, empty if there is no list, None if it is more than names."""
    names = [""]
    for token in tokens(columns[1:-1]):
        if token.says(","):
            names.append("")
        elif token.kind == "word" or token.says("."):
            names[-1] += token.text
        elif token.kind == "quoted":
            names[-1] += _unquoted(token.text)
        else:
            return None
    return names if names != [""] else []


def _unquoted(name: str) -> str:
    quote = name[0]
    return name[1:-1].replace(quote * 2, quote).replace("\\" + quote, quote).replace("\\\\", "\\")


def _provoke(insert: Insert, width: int, running: Running, runner: Runner) -> None:
    """Let the engine say what is wrong with the column list."""
    nothing = ", ".join(["NULL"] * width)
    runner.lane.query(
        f"INSERT INTO {insert.target} {insert.columns} SELECT {nothing} WHERE 0", running.context
    )
    raise ServerError(LOGICAL_ERROR, f"The columns {insert.columns} of {insert.target} cannot be inserted")
