"""An answer on its way to the client: held back until it is certain, then sent as it comes."""

import json
import secrets
import string
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.embedded.clickhouse.errors import ServerError
from deploy.embedded.clickhouse.http.codings import Coded, Framed, Outlet, Plain
from deploy.embedded.clickhouse.http.status import status_of
from deploy.embedded.clickhouse.packets import Totals

IN_MEMORY_BYTES = 1 << 24
PIECE_BYTES = 1 << 20
_MARK = b"__exception__"


class Exchange(Protocol):
    """One request and its answer, as a thread sees them. Every method may raise Gone."""

    def read(self, size: int) -> bytes: ...

    def start(self, status: int, headers: dict[str, str], length: int | None) -> None:
        """Send status and headers; `length` is that of the body where it is known."""

    def send(self, data: bytes) -> None: ...

    def abort(self) -> None:
        """Close the connection, so that the client sees that the answer is not whole."""


class Gone(Exception):
    """The client has closed the connection."""


@dataclass(slots=True)
class Summary:
    """What a statement has done so far."""

    totals: Totals = field(default_factory=Totals)
    result_rows: int = 0
    result_bytes: int = 0
    started: float = field(default_factory=time.monotonic)

    def as_header(self) -> str:
        """The value of X-ClickHouse-Summary and of X-ClickHouse-Progress: numbers as texts."""
        numbers = {
            "read_rows": self.totals.rows,
            "read_bytes": self.totals.size,
            "written_rows": self.totals.written_rows,
            "written_bytes": self.totals.written_size,
            "total_rows_to_read": 0,
            "result_rows": self.result_rows,
            "result_bytes": self.result_bytes,
            "elapsed_ns": int((time.monotonic() - self.started) * 1e9),
        }
        return json.dumps({name: str(value) for name, value in numbers.items()}, separators=(",", ":"))


class Reply:
    """Collects a body; starts the answer when `most` bytes are there, or at the end."""

    def __init__(
        self, exchange: Exchange, headers: dict[str, str], coding: str, framed: bool, most: int, folder: Path
    ) -> None:
        self.headers = headers
        self.summary = Summary()
        self.progress = False
        self._exchange = exchange
        self._coding = coding
        self._framed = framed
        self._most = most
        self._folder = folder
        self._tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
        self._started = False
        self._held = self._empty()
        self._outlet: Outlet = self._pipe()

    def write(self, data: bytes | memoryview) -> None:
        """Send or hold back a piece of the result. Raises Gone."""
        self._outlet.write(data)

    def finish(self) -> None:
        """The result is whole."""
        self._outlet.close()
        if not self._started:
            self._start(200, self._held.tell())
        self._held.close()

    def fail(self, error: ServerError, version: str) -> None:
        """Answer with an exception; in the middle of a body, put it where clients look for it, and break off."""
        text = f"{error} (version {version})\n".encode(errors="surrogateescape")
        if self._started:
            self._outlet.write(_tagged(text, self._tag.encode()))
            self._outlet.close()
            self._exchange.abort()
            return
        self._held = self._empty()
        self._outlet = self._pipe()
        self._most = len(text) + PIECE_BYTES
        self._outlet.write(text)
        self._outlet.close()
        self.headers["X-ClickHouse-Exception-Code"] = str(error.code)
        self.headers["Content-Type"] = "text/plain; charset=UTF-8"
        self._start(status_of(error.code), self._held.tell())
        self._held.close()

    def _empty(self) -> tempfile.SpooledTemporaryFile[bytes]:
        return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(self._folder))

    def _pipe(self) -> Outlet:
        make: Callable[..., Outlet] = Framed if self._framed else Plain
        return Coded(self._coding, self._collect) if self._coding else make(self._collect)

    def _collect(self, data: bytes | memoryview) -> None:
        if self._started:
            for start in range(0, len(data), PIECE_BYTES):
                self._exchange.send(bytes(data[start : start + PIECE_BYTES]))
            return
        self._held.write(data)
        if self._held.tell() > self._most:
            self._start(200, None)

    def _start(self, status: int, length: int | None) -> None:
        self._started = True
        headers = {**self.headers, "X-ClickHouse-Summary": self.summary.as_header()}
        if self.progress:
            headers["X-ClickHouse-Progress"] = self.summary.as_header()
        if self._coding:
            headers["Content-Encoding"] = self._coding
        if length is None:
            headers["X-ClickHouse-Exception-Tag"] = self._tag
        self._exchange.start(status, {name: _in_one_line(value) for name, value in headers.items()}, length)
        self._held.seek(0)
        while piece := self._held.read(PIECE_BYTES):
            self._exchange.send(piece)
        self._held.truncate(0)


def _in_one_line(value: str) -> str:
    """What clients sent comes back in headers: nothing there may end a line, or be no text."""
    return "".join(letter if letter.isprintable() else "?" for letter in value)


def _tagged(text: bytes, tag: bytes) -> bytes:
    """An exception behind a part of a result: mark, tag, text, its length and the tag, mark."""
    length = str(len(text)).encode()
    return b"\r\n".join((b"", _MARK, tag, text + length + b" " + tag, _MARK, b""))
