"""The ASGI application of the live page."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from http.cookies import SimpleCookie
from typing import Any

from dashboard import assets
from dashboard.export import points_csv, top_csv
from dashboard.filters import FilterError, Filters, parse
from dashboard.http import (
    Answer,
    Receive,
    Scope,
    Send,
    as_html,
    as_json,
    cookie,
    dumps,
    form,
    head,
    header,
    query,
)
from dashboard.login import COOKIE, Login
from dashboard.reading import Reading
from dashboard.settings import DashboardSettings, is_loopback
from schemas.metrics import DashboardMetrics
from sinks.clickhouse.errors import ClickHouseError
from sinks.clickhouse.explain import is_empty

App = Callable[[Scope, Receive, Send], Awaitable[None]]
DETAILS_SECONDS = 15.0
"""How old what changes by the minute may get on an open page."""
MOST_ID = 200
EXPLAIN = "/api/explain/"
_BESIDE = ("/healthz", "/login", "/events")
"""What is served beside the endpoints that give a whole answer to a question."""
_log = logging.getLogger(__name__)


def create_app(
    settings: DashboardSettings, reading: Reading, stopping: asyncio.Event, metrics: DashboardMetrics
) -> App:
    """Return the application. Once ``stopping`` is set, streams end: a server that stops waits for what is under way."""
    page = Page(settings, reading, stopping, metrics)
    metrics.streams.set_function(lambda: page.streams)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        answer = await page.answer(scope, receive, send)
        status = 200 if answer is None else answer.status
        metrics.answers.labels(page.endpoint(scope["path"]), str(status)).inc()
        if answer is None:
            return
        answer.headers.append((b"content-length", str(len(answer.body)).encode()))
        await send(head(answer))
        await send({"type": "http.response.body", "body": answer.body})

    return app


class Page:
    """Endpoints by path. Everything but /healthz, /login and style sheets is behind the login, where there is one."""

    def __init__(
        self,
        settings: DashboardSettings,
        reading: Reading,
        stopping: asyncio.Event,
        metrics: DashboardMetrics,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.stopping = stopping
        self.reading = reading
        self.login = Login(settings.password, settings.session_seconds)
        self.assets = assets.load()
        self.html, self.login_html = assets.page("index.html"), assets.page("login.html")
        self.streams = 0
        self._asked: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._endpoints: Mapping[str, Callable[[Scope], Awaitable[Answer]]] = {
            "/": self._index,
            "/api/overview": self._overview,
            "/api/details": self._details,
            "/export.csv": self._export,
        }

    def endpoint(self, path: str) -> str:
        """Return the endpoint's name for metrics, empty for a path that is not served: whoever asks chooses no name."""
        if path.startswith("/static/"):
            return "static"
        if path.startswith(EXPLAIN):
            return "explain"
        return (path.rpartition("/")[2] or "page") if path in (*self._endpoints, *_BESIDE) else ""

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """Return the answer to a request, None where it has been sent."""
        path, method = scope["path"], scope["method"]
        if path == "/healthz":
            return as_json({"status": "alive"})
        if not self.settings.password and not _is_ours(header(scope, b"host")):
            # A name that points at this machine would let any page on the web read along.
            return as_html("This page is served under localhost only.", 421)
        if path == "/login" and method == "POST":
            return await self._enter(receive)
        if path.startswith("/static/"):
            return self._asset(path.removeprefix("/static/"), scope)
        if not self._is_known(scope):
            return (
                as_html(self.login_html.replace("{{problem}}", ""))
                if path == "/"
                else as_json({"error": "log in"}, 401)
            )
        if method not in ("GET", "HEAD"):
            return Answer(405, headers=[(b"allow", b"GET")])
        if path == "/events":
            return await self._stream(scope, receive, send)
        endpoint = self._explain if path.startswith(EXPLAIN) else self._endpoints.get(path)
        return (
            as_json({"error": "is not served here"}, 404)
            if endpoint is None
            else await self._safely(endpoint, scope)
        )

    async def _safely(self, endpoint: Callable[[Scope], Awaitable[Answer]], scope: Scope) -> Answer:
        try:
            return await endpoint(scope)
        except FilterError as error:
            return as_json({"error": str(error), "field": error.field}, 400)
        except ClickHouseError as error:
            _log.warning("ClickHouse does not answer: %s", error)
            return as_json({"error": "ClickHouse does not answer"}, 503)

    def _is_known(self, scope: Scope) -> bool:
        return not self.settings.password or self.login.knows(cookie(scope, COOKIE))

    async def _enter(self, receive: Receive) -> Answer:
        if wait := self.login.wait():
            page = self.login_html.replace("{{problem}}", "Too many wrong passwords. Try again in a minute.")
            answer = as_html(page, 429)
            answer.headers.append((b"retry-after", str(wait).encode()))
            return answer
        fields = await form(receive) or {}
        session = self.login.session(fields.get("password", "")) if self.settings.password else None
        if session is None:
            return as_html(self.login_html.replace("{{problem}}", "That is not the password."), 403)
        made: SimpleCookie = SimpleCookie({COOKIE: session})
        morsel = made[COOKIE]
        morsel["path"], morsel["samesite"], morsel["max-age"] = (
            "/",
            "Strict",
            str(self.settings.session_seconds),
        )
        morsel["httponly"], morsel["secure"] = "1", "1" if self.settings.cookie_secure else ""
        return Answer(
            303, headers=[(b"location", b"/"), (b"set-cookie", made[COOKIE].OutputString().encode())]
        )

    def _asset(self, name: str, scope: Scope) -> Answer:
        asset = self.assets.get(name)
        if asset is None:
            return as_json({"error": "is not served here"}, 404)
        tag = f'"{asset.tag}"'
        headers = [(b"etag", tag.encode()), (b"cache-control", b"no-cache")]
        if header(scope, b"if-none-match") == tag:
            return Answer(304, headers=headers)
        headers += [(b"content-type", asset.type.encode()), (b"content-encoding", b"gzip")]
        return Answer(200, asset.content, headers)

    def _filters(self, scope: Scope) -> Filters:
        return parse(query(scope), int(self.reading.now()))

    async def _ask(self, name: str, filters: Filters) -> Any:
        """Ask for what several pages may look at: those that ask for the same at the same time share an answer."""
        key = (name, repr(filters))
        if key not in self._asked:
            question = getattr(self.reading, name)
            work = asyncio.get_running_loop().run_in_executor(self.reading.pool, question, filters)
            task = self._asked[key] = asyncio.ensure_future(self._measured(name, work))
            task.add_done_callback(lambda _: self._asked.pop(key, None))
        return await asyncio.shield(self._asked[key])

    async def _measured(self, question: str, work: Awaitable[Any]) -> Any:
        started = time.perf_counter()
        try:
            return await work
        except ClickHouseError:
            self.metrics.failures.labels(question).inc()
            raise
        finally:
            self.metrics.question_seconds.labels(question).observe(time.perf_counter() - started)

    async def _index(self, scope: Scope) -> Answer:
        """The page, with its first numbers in it: nothing has to be asked for before they are seen."""
        values = {name: value for name, value in query(scope).items() if name != "journey"}
        first: dict[str, Any]
        try:
            first = {"overview": await self._ask("overview", parse(values, int(self.reading.now())))}
        except FilterError as error:
            first = {"error": str(error)}
        except ClickHouseError as error:
            _log.warning("ClickHouse does not answer: %s", error)
            first = {"error": "ClickHouse does not answer"}
        first |= {"lag": self.settings.lag_seconds, "silent": self.settings.silent_seconds}
        return as_html(self.html.replace("{{first}}", dumps(first)))

    async def _overview(self, scope: Scope) -> Answer:
        return as_json(await self._ask("overview", self._filters(scope)))

    async def _details(self, scope: Scope) -> Answer:
        return as_json(await self._ask("details", self._filters(scope)))

    async def _explain(self, scope: Scope) -> Answer:
        """What `funnel explain --format json` says; an id may hold anything, slashes too."""
        identifier = _identifier(scope["path"].removeprefix(EXPLAIN))
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self.reading.pool, self.reading.explain, identifier)
        found = await self._measured("journey", work)
        if is_empty(found):
            return as_json({"error": "the journal knows nothing of this id"}, 404)
        return as_json(found)

    async def _export(self, scope: Scope) -> Answer:
        values = query(scope)
        kind = values.pop("table", "top")
        filters = parse(values, int(self.reading.now()))
        if kind == "top":
            currency, rows = await self._ask("top_rows", filters)
            name, text = filters.top, top_csv(filters.top, currency, rows)
        elif kind == "time":
            currency, rows = await self._ask("point_rows", filters)
            name, text = "time", points_csv(filters.zone, currency, rows)
        else:
            raise FilterError("table", "is not top or time")
        disposition = f'attachment; filename="funnel-{name}.csv"'.encode()
        headers = [(b"content-type", b"text/csv; charset=utf-8"), (b"content-disposition", disposition)]
        return Answer(200, text.encode(), [*headers, (b"cache-control", b"no-store")])

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> Answer | None:
        """Send what the page shows whenever it has changed, until the browser leaves."""
        if self.streams >= self.settings.most_streams:
            return as_json({"error": "too many pages are open"}, 503)
        try:
            self._filters(scope)
        except FilterError as error:
            return as_json({"error": str(error), "field": error.field}, 400)
        self.streams += 1
        gone = asyncio.ensure_future(_ended(receive, self.stopping))
        try:
            headers = [
                (b"content-type", b"text/event-stream"),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            ]
            await send(head(Answer(200, headers=headers)))
            await self._changes(scope, send, gone)
        except (ConnectionError, RuntimeError, OSError):
            pass  # The browser has left while something was on its way to it.
        finally:
            self.streams -= 1
            gone.cancel()
        return None

    async def _changes(self, scope: Scope, send: Send, gone: asyncio.Future[None]) -> None:
        sent: dict[str, bytes] = {}
        loop = asyncio.get_running_loop()
        detailed = -DETAILS_SECONDS
        while not gone.done() and self._is_known(scope):
            started = loop.time()
            names = ["overview"]
            if started - detailed >= DETAILS_SECONDS:
                names.append("details")
                detailed = started
                # So that a browser that left without a word is noticed, and proxies see life.
                await send(_message(": alive\n\n"))
            for name in names:
                event, told = await self._event(name, scope)
                digest = _digest(told)
                if sent.get(event) != digest:
                    # After an interruption all is said again: the page shows that there was one.
                    kept = {} if "away" in (event, *sent) else sent
                    sent = {**kept, event: digest}
                    await send(_message(f"event: {event}\ndata: {dumps(told)}\n\n"))
            # From start to start; where ClickHouse takes longer than that, it still gets some air.
            refresh = self.settings.refresh_seconds
            pause = max(refresh - (loop.time() - started), refresh / 5)
            await asyncio.wait([gone], timeout=pause)

    async def _event(self, name: str, scope: Scope) -> tuple[str, Mapping[str, Any]]:
        try:
            return name, await self._ask(name, self._filters(scope))
        except ClickHouseError as error:
            _log.warning("ClickHouse does not answer: %s", error)
            return "away", {"now": int(self.reading.now())}


def _digest(told: Mapping[str, Any]) -> bytes:
    """What tells one state of the page from another; the time alone does not."""
    return hashlib.sha256(dumps({**told, "now": 0}).encode()).digest()


async def _ended(receive: Receive, stopping: asyncio.Event) -> None:
    """Return when the browser leaves, or the server is about to stop."""
    waits = [asyncio.ensure_future(_left(receive)), asyncio.ensure_future(stopping.wait())]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


async def _left(receive: Receive) -> None:
    with contextlib.suppress(Exception):
        while (await receive())["type"] != "http.disconnect":
            pass


def _identifier(text: str) -> str:
    identifier = text.strip()
    # What is no text (half a surrogate pair) could not even be asked for.
    if (
        not 1 <= len(identifier) <= MOST_ID
        or "\0" in identifier
        or any("\ud800" <= one <= "\udfff" for one in identifier)
    ):
        raise FilterError("id", f"must have 1 to {MOST_ID} characters")
    return identifier


def _message(text: str) -> dict[str, Any]:
    return {"type": "http.response.body", "body": text.encode(), "more_body": True}


def _is_ours(host: str) -> bool:
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return is_loopback(name.strip("[]")) or name.endswith(".localhost")
