"""The HTTP server: aiohttp's event loop in one thread, each request's work in another."""

import asyncio
import logging
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from aiohttp import web

from deploy.embedded.clickhouse.errors import BAD_ARGUMENTS, ServerError, refused
from deploy.embedded.clickhouse.http.answering import Answering, Asked
from deploy.embedded.clickhouse.http.parameters import Wanted, read_wanted
from deploy.embedded.clickhouse.http.reply import Gone
from deploy.embedded.clickhouse.http.sessions import Sessions
from deploy.embedded.clickhouse.http.status import status_of
from deploy.embedded.clickhouse.session import House
from schemas.metrics import FrontMetrics

# Requests under way at once; more wait.
THREADS = 128
LARGEST_LINE = 1 << 20
LARGEST_FIELDS = 1 << 26
GOODBYE_SECONDS = 5.0
_T = TypeVar("_T")
log = logging.getLogger(__name__)


class HttpServer:
    """ClickHouse's HTTP interface on one address. `start` raises OSError where that cannot be had."""

    def __init__(self, house: House, host: str, port: int) -> None:
        self.sessions = Sessions(house.engine)
        self.port = port
        self._host = host
        self._house = house
        self._answering = Answering(house, self.sessions)
        self._pool = ThreadPoolExecutor(THREADS, "http")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http loop", daemon=True)
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    def start(self) -> None:
        """Listen; returns when requests are answered."""
        self._thread.start()
        self._wait(self._listen())

    def shut(self) -> None:
        """Accept no more connections; those that there are go on."""
        if self._site is not None:
            self._wait(self._site.stop())

    def stop(self) -> None:
        """Part from the clients. Statements must have ended or been stopped."""
        if self._runner is not None:
            self._wait(self._runner.cleanup())
        # The threads need the loop to learn that their clients are gone.
        self._pool.shutdown()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self.sessions.close()

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _listen(self) -> None:
        app = web.Application(client_max_size=LARGEST_FIELDS)
        app.router.add_get("/ping", _ok)
        app.router.add_get("/replicas_status", _ok)
        app.router.add_route("*", "/", self._root)
        app.router.add_route("*", "/{path:.*}", _nothing)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            # A request's body is decompressed where it is read.
            auto_decompress=False,
            max_line_size=LARGEST_LINE,
            max_field_size=LARGEST_LINE,
            shutdown_timeout=GOODBYE_SECONDS,
        )
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, self._host, self.port)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _root(self, request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD", "POST"):
            return web.Response(status=501, text="Only GET, HEAD and POST are supported.\n")
        try:
            wanted = await _read(request)
            if _is_greeting(request, wanted):
                return await _ok(request)
            user = self._house.users.authenticate(wanted.user, wanted.password)
        except ServerError as error:
            self._house.metrics.exceptions.inc()
            return _refusal(error, self._answering.version)
        exchange = _HttpExchange(request, self._loop, self._house.metrics)
        asked = Asked(wanted, request.headers, user, exchange, partial(_client_did, request))
        with suppress(Gone):
            await self._loop.run_in_executor(self._pool, self._work, asked)
        return exchange.response or web.Response(status=500)

    def _work(self, asked: Asked) -> None:
        self._house.metrics.connections.inc()
        try:
            self._answering.answer(asked)
        except Gone:
            raise
        except Exception:
            log.exception("a request ended by an error of ours")
            asked.exchange.abort()
        finally:
            self._house.metrics.connections.dec()


def _client_did(request: web.Request) -> str:
    """What the client did while it waits for an answer: "" (nothing) or "gone"."""
    return "gone" if request.transport is None or request.transport.is_closing() else ""


class _HttpExchange:
    """A request of aiohttp, for use from another thread."""

    def __init__(self, request: web.Request, loop: asyncio.AbstractEventLoop, metrics: FrontMetrics) -> None:
        self.response: web.StreamResponse | None = None
        self._metrics = metrics
        self._request = request
        self._loop = loop

    def read(self, size: int) -> bytes:
        if not self._request.can_read_body:
            return b""
        return self._wait(self._request.content.read(size))

    def start(self, status: int, headers: dict[str, str], length: int | None) -> None:
        self.response = web.StreamResponse(status=status, headers=headers)
        if length is not None:
            self.response.content_length = length
        self._wait(self.response.prepare(self._request))

    def send(self, data: bytes) -> None:
        if self._request.method != "HEAD":
            assert self.response is not None
            self._wait(self.response.write(data))
            self._metrics.sent_bytes.inc(len(data))

    def abort(self) -> None:
        self._loop.call_soon_threadsafe(self._close)

    def _close(self) -> None:
        if self._request.transport is not None:
            self._request.transport.close()

    def _wait(self, work: Coroutine[Any, Any, _T]) -> _T:
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        except (OSError, asyncio.CancelledError, web.RequestPayloadError) as error:
            raise Gone from error


async def _ok(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n", content_type="text/html")


async def _nothing(request: web.Request) -> web.Response:
    return web.Response(status=404, text=f"There is no handle {request.path}\n")


async def _read(request: web.Request) -> Wanted:
    """What a request wants, from its address, its headers and the fields of a form. Raises ServerError."""
    pairs = list(request.query.items())
    if request.content_type == "multipart/form-data":
        for name, value in (await request.post()).items():
            if not isinstance(value, str):
                raise refused(f"external data ({name})")
            pairs.append((name, value))
    if len({name for name, _ in pairs}) != len(pairs):
        raise ServerError(BAD_ARGUMENTS, "A parameter is given more than once. (BAD_ARGUMENTS)")
    return read_wanted(request.method, pairs, request.headers)


def _is_greeting(request: web.Request, wanted: Wanted) -> bool:
    """GET / without a statement: the answer that health checks look for."""
    return request.method in ("GET", "HEAD") and not wanted.text and not request.can_read_body


def _refusal(error: ServerError, version: str) -> web.Response:
    return web.Response(
        status=status_of(error.code),
        body=f"{error} (version {version})\n".encode(errors="surrogateescape"),
        headers={"X-ClickHouse-Exception-Code": str(error.code)},
        content_type="text/plain",
        charset="utf-8",
    )
