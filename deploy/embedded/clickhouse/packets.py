"""Packets of ClickHouse's native protocol at revision 54429, as a server reads and writes them.

That is the first revision whose settings are texts, and early enough to have no serialisation kind byte per
column (54454), which would cost a copy of every block. Clients speak the lower of the two revisions.
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from deploy.embedded.clickhouse.cursor import Cursor
from deploy.embedded.clickhouse.errors import ProtocolError, ServerError, refused
from deploy.embedded.clickhouse.wire import REVISION, text, varint

SHORT_TEXT = 1 << 16
TCP_INTERFACE = 1
STAGE_COMPLETE = 2


class FromClient(IntEnum):
    """Packets a client sends."""

    HELLO = 0
    QUERY = 1
    DATA = 2
    CANCEL = 3
    PING = 4


class FromServer(IntEnum):
    """Packets this server sends."""

    HELLO = 0
    DATA = 1
    EXCEPTION = 2
    PROGRESS = 3
    PONG = 4
    END_OF_STREAM = 5
    PROFILE_INFO = 6


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client says first."""

    client: str
    revision: int
    database: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Query:
    """A statement with its settings (name → value as text)."""

    query_id: str
    client: str
    address: str
    settings: dict[str, str]
    stage: int
    compressed: bool
    text: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What a statement has read and written so far: rows and bytes."""

    rows: int = 0
    size: int = 0
    written_rows: int = 0
    written_size: int = 0

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            self.rows + other.rows,
            self.size + other.size,
            self.written_rows + other.written_rows,
            self.written_size + other.written_size,
        )


def read_hello(cursor: Cursor) -> Hello:
    """Read the first packet of a connection. Raises ProtocolError if it is another one."""
    if cursor.varint() != FromClient.HELLO:
        raise ProtocolError("the first packet is not Hello")
    client = cursor.text(SHORT_TEXT)
    cursor.varint(), cursor.varint()
    revision = cursor.varint()
    return Hello(client, revision, *(cursor.text(SHORT_TEXT) for _ in range(3)))


def read_query(cursor: Cursor) -> Query:
    """Read a query packet behind its type."""
    query_id = cursor.text(SHORT_TEXT)
    client, address = _read_client_info(cursor)
    settings = {}
    while (name := cursor.text(SHORT_TEXT)) != "":
        cursor.byte()  # Important or not: an unknown setting is an error in any case.
        settings[name] = cursor.text()
    stage, compressed = cursor.varint(), cursor.varint()
    return Query(query_id, client, address, settings, stage, bool(compressed), cursor.text())


def check_query(query: Query) -> None:
    """Refuse what the packet may ask for and this front does not do."""
    if query.stage != STAGE_COMPLETE:
        raise refused(f"query processing stage {query.stage}")


def _read_client_info(cursor: Cursor) -> tuple[str, str]:
    """Returns (client name, address), empty when the client does not say."""
    if cursor.byte() == 0:
        return "", ""
    cursor.text(SHORT_TEXT), cursor.text(SHORT_TEXT)
    address = cursor.text(SHORT_TEXT)
    if cursor.byte() != TCP_INTERFACE:
        raise ProtocolError("client info of another interface than TCP")
    cursor.text(SHORT_TEXT), cursor.text(SHORT_TEXT)
    client = cursor.text(SHORT_TEXT)
    cursor.varint(), cursor.varint(), cursor.varint()
    cursor.text(SHORT_TEXT)
    cursor.varint()
    return client, address


def hello(version: tuple[int, int, int], timezone: str, name: str) -> bytes:
    major, minor, patch = version
    return b"".join(
        (
            *(varint(FromServer.HELLO), text("ClickHouse"), varint(major), varint(minor), varint(REVISION)),
            *(text(timezone), text(name), varint(patch)),
        )
    )


def exception(error: ServerError) -> bytes:
    """Code, name, text, an empty stack trace, nothing nested."""
    texts = text("DB::Exception") + text(f"DB::Exception: {error.text}") + text("")
    return varint(FromServer.EXCEPTION) + struct.pack("<i", error.code) + texts + b"\x00"


def progress(totals: Totals) -> bytes:
    numbers = (totals.rows, totals.size, 0, totals.written_rows, totals.written_size)
    return varint(FromServer.PROGRESS) + b"".join(map(varint, numbers))


def profile_info(rows: int, blocks: int, size: int) -> bytes:
    """Rows, blocks and bytes of the result; no limit is reported."""
    return varint(FromServer.PROFILE_INFO) + b"".join(map(varint, (rows, blocks, size))) + b"\x00\x00\x00"


PONG = varint(FromServer.PONG)
END_OF_STREAM = varint(FromServer.END_OF_STREAM)
# A data packet up to its block: the type and the name of the (external) table, which is empty.
DATA = varint(FromServer.DATA) + text("")
