"""Requests and answers of the page, as ASGI has them."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
MOST_BODY = 4096
"""Bytes of a form."""
_POLICY = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_ALWAYS: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(slots=True)
class Answer:
    """A whole answer."""

    status: int
    body: bytes = b""
    headers: list[Header] = field(default_factory=list)


def head(answer: Answer) -> MutableMapping[str, Any]:
    """Return the message that begins an answer: its headers and those that every one has."""
    return {"type": "http.response.start", "status": answer.status, "headers": [*answer.headers, *_ALWAYS]}


def header(scope: Scope, name: bytes) -> str:
    """Return a header's value, empty without it."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def query(scope: Scope) -> dict[str, str]:
    """Return the parameters of the URL; of one given twice the last."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=64))


def cookie(scope: Scope, name: str) -> str:
    """Return a cookie's value, empty without it."""
    try:
        found = SimpleCookie(header(scope, b"cookie")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


async def form(receive: Receive) -> dict[str, str] | None:
    """Return the fields of a form, None where it is too large."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MOST_BODY:
            return None
        if not message.get("more_body"):
            return dict(parse_qsl(body.decode("latin-1"), max_num_fields=16))


def dumps(value: Any) -> str:
    """Return JSON that may stand in HTML: it cannot end the element that it is in."""
    text = json.dumps(value, default=_plain, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    raise TypeError(f"{type(value).__name__} is no JSON")


def as_json(value: Any, status: int = 200) -> Answer:
    """Return an answer of JSON."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    return Answer(status, dumps(value).encode(), headers)


def as_html(text: str, status: int = 200) -> Answer:
    """Return an answer of HTML."""
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"cache-control", b"no-store")]
    return Answer(status, text.encode(), headers)
