"""Compression on the way: content codings of HTTP, and ClickHouse's own frames (compress=1, decompress=1)."""

import io
from collections.abc import Callable
from typing import Any, Protocol, cast

import pyarrow

from deploy.embedded.clickhouse.compression import frames, read_frame
from deploy.embedded.clickhouse.cursor import FileCursor, Source
from deploy.embedded.clickhouse.errors import CANNOT_DECOMPRESS, ServerError, refused

# Content codings by the name of their codec. The order is the one of preference where the client has none.
CODECS = {"zstd": "zstd", "lz4": "lz4", "gzip": "gzip", "br": "brotli"}
Send = Callable[[bytes | memoryview], None]


class Outlet(Protocol):
    """Where a body's bytes go."""

    def write(self, data: bytes | memoryview) -> None: ...

    def close(self) -> None:
        """Send what is still held back."""


def negotiated(accept: str) -> str:
    """The content coding to use for an Accept-Encoding header; "" for none."""
    offers: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")):
        name, _, weight = part.strip().lower().partition(";")
        quality = _quality(weight)
        if name.strip() in CODECS and quality > 0:
            offers.append((-quality, place, name.strip()))
    return min(offers)[2] if offers else ""


def _quality(weight: str) -> float:
    name, _, value = weight.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


class Plain:
    """Bytes as they are."""

    def __init__(self, send: Send) -> None:
        self.write = send

    def close(self) -> None:
        pass


class Framed:
    """ClickHouse's compressed frames (LZ4)."""

    def __init__(self, send: Send) -> None:
        self._send = send

    def write(self, data: bytes | memoryview) -> None:
        if data:
            for frame in frames((b"", memoryview(data))):
                self._send(frame)

    def close(self) -> None:
        pass


class Coded:
    """One content coding."""

    def __init__(self, coding: str, send: Send) -> None:
        self._stream = pyarrow.CompressedOutputStream(pyarrow.PythonFile(_Sink(send), "w"), CODECS[coding])

    def write(self, data: bytes | memoryview) -> None:
        self._stream.write(data)

    def close(self) -> None:
        self._stream.close()


class _Sink(io.RawIOBase):
    def __init__(self, send: Send) -> None:
        self._send_on = send

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = len(data)
        if size:
            self._send_on(bytes(data))
        return size


def opened(body: Source, coding: str, framed: bool) -> Source:
    """The plain bytes of a request's body. Raises ServerError for a coding that is not supported, by its name."""
    coding = coding.strip().lower()
    if coding not in ("", "identity"):
        if coding not in CODECS:
            raise refused(f"Content-Encoding {coding}")
        body = _Decoded(body, CODECS[coding])
    return _Unframed(body) if framed else body


class _Decoded(io.RawIOBase):
    def __init__(self, body: Source, codec: str) -> None:
        self._stream = pyarrow.CompressedInputStream(pyarrow.PythonFile(body, "r"), codec)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        try:
            return cast(bytes, self._stream.read(size if size >= 0 else None))
        except OSError as error:
            raise ServerError(
                CANNOT_DECOMPRESS, f"Cannot decompress the request's body: {error}. (CANNOT_DECOMPRESS)"
            ) from error


class _Unframed(io.RawIOBase):
    def __init__(self, body: Source) -> None:
        self._cursor = FileCursor(body)
        self._plain = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Some bytes, at most `size`; none at the end."""
        while not self._plain and self._cursor.more():
            self._plain = read_frame(self._cursor)
        if size < 0:
            size = len(self._plain)
        piece, self._plain = self._plain[:size], self._plain[size:]
        return piece
