"""The ASGI application: endpoints for events, and for whoever watches over the process."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from prometheus_client import Counter

from collector.batch import events
from collector.context import Context, check_rate, make_context
from collector.cors import cors_headers, preflight
from collector.errors import FieldError, Refusal, Unavailable
from collector.identify import identify
from collector.lead import lead
from collector.live import pixel, redirect
from collector.openapi import document
from collector.postback import postback
from collector.producer import Producer
from collector.request import (
    Header,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    client_address,
    error_response,
    json_response,
    read_request,
)
from collector.settings import CollectorSettings
from collector.snippet import snippet
from schemas.metrics import CollectorMetrics

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Endpoint = Callable[[Context, Request], Awaitable[Response]]
_log = logging.getLogger(__name__)


class Route(NamedTuple):
    """An endpoint and the methods it takes; ``name`` is its label in metrics. ``is_limited``: it counts against the caller's rate;
    ``for_pages``: pages of other origins call it."""

    methods: tuple[str, ...]
    name: str
    endpoint: Endpoint
    is_limited: bool = True
    for_pages: bool = False


async def healthz(_context: Context, _request: Request) -> Response:
    """``GET /healthz``: the process answers."""
    return json_response(200, {"status": "alive"})


async def readyz(context: Context, _request: Request) -> Response:
    """``GET /readyz``: 200 if an event would be kept, by the broker (which then has the topics) or by the spool;
    else 503."""
    if keeper := await context.producer.ready():
        return json_response(200, {"status": "ready", "kept_by": keeper})
    return json_response(503, {"status": "waiting for the broker and its topics"})


async def openapi(_context: Context, _request: Request) -> Response:
    """``GET /openapi.json``: what is served here."""
    return json_response(200, document())


ROUTES: Mapping[str, Route] = {
    "/i.gif": Route(("GET", "POST"), "pixel", pixel, for_pages=True),
    "/c": Route(("GET",), "click", redirect),
    "/lead": Route(("POST",), "lead", lead, for_pages=True),
    "/identify": Route(("POST",), "identify", identify, for_pages=True),
    "/funnel.js": Route(("GET",), "snippet", snippet),
    "/postback": Route(("GET", "POST"), "postback", postback),
    "/events": Route(("POST",), "events", events),
    "/openapi.json": Route(("GET",), "openapi", openapi),
    "/healthz": Route(("GET",), "healthz", healthz, is_limited=False),
    "/readyz": Route(("GET",), "readyz", readyz, is_limited=False),
}


LINK_PREFIX = "/c/"
_WITHOUT_LENGTH = (204, 304)


def find_route(path: str) -> tuple[Route | None, str]:
    """Return the route of a path, None if it is not served, and what follows the route's own path."""
    if path.startswith(LINK_PREFIX) and len(path) > len(LINK_PREFIX):
        return ROUTES["/c"], path[len(LINK_PREFIX) :]
    return ROUTES.get(path), ""


def create_app(
    settings: CollectorSettings, producer: Producer, metrics: CollectorMetrics, now: Callable[[], int]
) -> App:
    """Return the application. ``now`` gives the time in ms UTC. Its caller opens and closes the producer.

    Raises ValueError where ``settings.trusted_proxies`` has what is no network.
    """
    context = make_context(settings, producer, metrics, now)
    seconds = {route.name: metrics.request_seconds.labels(route.name) for route in ROUTES.values()}
    answers = Answers(metrics)
    limits_addresses = settings.rate_per_address > 0
    under_way = 0
    metrics.inflight.set_function(lambda: under_way)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"{scope['type']} is not served")
        nonlocal under_way
        started = time.perf_counter()
        under_way += 1
        route, tail = find_route(scope["path"])
        request = read_request(scope, receive, context.now(), tail, settings.read_seconds)
        try:
            if limits_addresses and route is not None and route.is_limited:
                check_rate(context.address_rates, client_address(request, context.trusted_proxies))
            response = await _answer(context, route, request)
        except Exception as error:
            response = _failure(context, scope, error)
        if route is not None and route.for_pages:
            response.headers.extend(cors_headers(request, settings.origins))
        under_way -= 1
        if route is not None:
            seconds[route.name].observe(time.perf_counter() - started)
        answers.count(route.name if route is not None else "", response.status)
        if response.status not in _WITHOUT_LENGTH:
            response.headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
        await send({"type": "http.response.body", "body": response.body})

    return app


class Answers:
    """Counts answers by endpoint and status; looking a label up takes longer than counting."""

    def __init__(self, metrics: CollectorMetrics) -> None:
        self._metrics = metrics
        self._known: dict[tuple[str, int], Counter] = {}

    def count(self, endpoint: str, status: int) -> None:
        """Count one answer; ``endpoint`` is empty for a path that is not served."""
        counter = self._known.get((endpoint, status))
        if counter is None:
            counter = self._metrics.answers.labels(endpoint, str(status))
            self._known[endpoint, status] = counter
        counter.inc()


async def _answer(context: Context, route: Route | None, request: Request) -> Response:
    if route is not None and request.method in route.methods:
        return await route.endpoint(context, request)
    if route is not None and route.for_pages and request.method == "OPTIONS":
        asked = preflight(request, context.settings.origins)
        if asked is not None:
            return asked
    raise _not_served(route)


def _not_served(route: Route | None) -> Refusal:
    if route is None:
        return Refusal(404, "path", "is not served here", "not_found")
    allow: Header = (b"allow", ", ".join(route.methods).encode())
    return Refusal(405, "method", f"is not {' or '.join(route.methods)}", "method", (allow,))


def _failure(context: Context, scope: Scope, failure: Exception) -> Response:
    try:
        raise failure
    except FieldError as error:
        context.metrics.rejected.labels(error.reason).inc()
        return error_response(400, error.field, error.message)
    except Refusal as error:
        context.metrics.rejected.labels(error.reason).inc()
        return error_response(error.status, error.field, error.message, error.headers)
    except Unavailable:
        context.metrics.unavailable.inc()
        retry_after: Header = (b"retry-after", str(context.settings.retry_after_seconds).encode())
        return error_response(503, "broker", "has not acknowledged the event; send it again", (retry_after,))
    except Exception:
        # As ASCII with escapes: what callers put into a path cannot begin a line of the log.
        _log.exception("%s %s failed", ascii(scope["method"]), ascii(scope["path"]))
        return error_response(500, "server", "failed; the event may be lost")
