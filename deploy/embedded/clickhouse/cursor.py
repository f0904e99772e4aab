"""Reading positions over bytes that may still be arriving."""

import socket
import struct
from typing import Protocol

import numpy as np

from deploy.embedded.clickhouse.errors import ProtocolError, Truncated
from deploy.embedded.clickhouse.kernels import Bytes

INITIAL_BYTES = 1 << 18
KEEP_BYTES = 1 << 26
PIECE_BYTES = 1 << 16
LARGEST_BYTES = 1 << 32
LARGEST_TEXT = 1 << 30


class Source(Protocol):
    """Where bytes come from."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none only at the end."""


class Cursor:
    """data[position:end] is there and not yet read. This base class never gets more: it raises Truncated."""

    def __init__(self, data: Bytes, end: int) -> None:
        self.data = data
        self.view = data.data
        self.position = 0
        self.end = end

    def require(self, size: int) -> None:
        """Make sure that `size` bytes are there. Raises Truncated if they never come."""
        missing = size - (self.end - self.position)
        if missing > 0:
            if size > LARGEST_BYTES:
                raise ProtocolError(f"a value of {size} bytes is larger than {LARGEST_BYTES}")
            self.fetch(missing)

    def fetch(self, missing: int) -> None:
        """Append at least `missing` bytes."""
        raise Truncated

    def skip(self, size: int) -> None:
        self.require(size)
        self.position += size

    def byte(self) -> int:
        self.require(1)
        self.position += 1
        return self.view[self.position - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ProtocolError("a number has too many bytes")

    def uint32(self) -> int:
        self.skip(4)
        return int(struct.unpack_from("<I", self.view, self.position - 4)[0])

    def uint64(self) -> int:
        self.skip(8)
        return int(struct.unpack_from("<Q", self.view, self.position - 8)[0])

    def raw(self, size: int) -> bytes:
        self.skip(size)
        return bytes(self.view[self.position - size : self.position])

    def text(self, largest: int = LARGEST_TEXT) -> str:
        size = self.varint()
        if size > largest:
            raise ProtocolError(f"a text of {size} bytes where {largest} are allowed")
        # Queries may hold any bytes; what is not UTF-8 must reach the engine unchanged.
        return self.raw(size).decode(errors="surrogateescape")


class GrowingCursor(Cursor):
    """A cursor over a buffer of its own, to which bytes are appended; `forget` drops what has been read."""

    def __init__(self) -> None:
        super().__init__(np.empty(INITIAL_BYTES, np.uint8), 0)

    def room(self, size: int) -> memoryview:
        """The free part of the buffer, at least `size` bytes. What has been read but not forgotten stays."""
        if len(self.data) - self.end < size:
            self._grow(max(self.end + size, 2 * len(self.data)))
        return self.view[self.end :]

    def forget(self) -> None:
        """Drop what has been read; a buffer that has become huge is given back."""
        left = self.end - self.position
        if left == 0 and len(self.data) <= KEEP_BYTES:
            self.position = self.end = 0
        elif self.position > len(self.data) // 2:
            self._replace(np.empty(max(INITIAL_BYTES, left), np.uint8))

    def _grow(self, size: int) -> None:
        grown = np.empty(size, np.uint8)
        grown[: self.end] = self.data[: self.end]
        self.data, self.view = grown, grown.data

    def _replace(self, data: Bytes) -> None:
        left = self.end - self.position
        data[:left] = self.data[self.position : self.end]
        self.data, self.view = data, data.data
        self.position, self.end = 0, left


class SocketCursor(GrowingCursor):
    """Bytes as they arrive on a socket. Truncated means that the peer has closed it."""

    def __init__(self, link: socket.socket) -> None:
        super().__init__()
        self.link = link

    def fetch(self, missing: int) -> None:
        while missing > 0:
            received = self.link.recv_into(self.room(missing))
            if received == 0:
                raise Truncated
            self.end += received
            missing -= received


class FileCursor(GrowingCursor):
    """Bytes as a file gives them. Truncated means that it has ended."""

    def __init__(self, file: Source) -> None:
        super().__init__()
        self.file = file

    def fetch(self, missing: int) -> None:
        while missing > 0:
            received = self.file.read(max(missing, PIECE_BYTES))
            if not received:
                raise Truncated
            self.room(len(received))[: len(received)] = received
            self.end += len(received)
            missing -= len(received)

    def more(self) -> bool:
        """Whether there is anything left to read."""
        try:
            self.require(1)
        except Truncated:
            return False
        return True
