"""What arrives and what is answered, as plain values; and the reading of queries, cookies, addresses and
bodies."""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from collector.errors import FieldError, Refusal
from collector.privacy import truncate_ip

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]
Network = IPv4Network | IPv6Network

JSON_TYPE: Header = (b"content-type", b"application/json")


class Response(NamedTuple):
    """An answer; ``headers`` are without content-length."""

    status: int
    headers: list[Header]
    body: bytes


@dataclass(slots=True)
class Request:
    """An HTTP request; of a header sent twice, ``headers`` has the last, ``raw_headers`` all. ``received_at``
    is in ms UTC; ``tail`` is what follows the endpoint's own path."""

    query_string: bytes
    raw_headers: list[Header]
    headers: Mapping[bytes, bytes]
    peer: str
    receive: Receive
    received_at: int
    tail: str = ""
    method: str = "GET"
    read_seconds: float = 10.0


def read_request(
    scope: Scope, receive: Receive, received_at: int, tail: str = "", read_seconds: float = 10.0
) -> Request:
    """Return the request of an ASGI http scope."""
    headers = scope["headers"]
    peer = scope.get("client") or ("", 0)
    return Request(
        scope["query_string"],
        headers,
        dict(headers),
        peer[0],
        receive,
        received_at,
        tail,
        scope["method"],
        read_seconds,
    )


def header(request: Request, name: bytes) -> str:
    """Return the header ``name`` (lower case) as text, empty if absent. Bytes that are not UTF-8 are left
    out."""
    value = request.headers.get(name)
    return "" if value is None else value.decode(errors="ignore")


def read_query(raw: bytes, names: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a query that ``names`` maps to fields, by field; others are not looked at.

    Of a parameter given twice the first that is not empty counts. Raises FieldError where a value is not
    UTF-8.
    """
    found: dict[str, str] = {}
    text = raw.decode("latin-1")
    is_literal = "%" not in text and "+" not in text and text.isascii()
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if value and name in names:
            field = names[name]
            if field not in found:
                found[field] = value if is_literal else _unquoted(field, value)
    return found


def _unquoted(field: str, value: str) -> str:
    try:
        return unquote_to_bytes(value.replace("+", " ").encode("latin-1")).decode()
    except UnicodeDecodeError as error:
        raise FieldError(field, "is not UTF-8") from error


def read_cookie(request: Request, name: str) -> str:
    """Return the cookie ``name``, empty if absent. HTTP/2 may spread cookies over several headers."""
    if b"cookie" not in request.headers:
        return ""
    raw = b";".join(value for field, value in request.raw_headers if field == b"cookie")
    prefix = name + "="
    for part in raw.decode("latin-1").split(";"):
        cookie = part.strip()
        if cookie.startswith(prefix):
            return cookie[len(prefix) :]
    return ""


def client_network(request: Request, trusted: Iterable[Network]) -> str:
    """Return the client's truncated address, empty where it has none."""
    return truncate_ip(client_address(request, trusted))


def client_address(request: Request, trusted: Iterable[Network]) -> str:
    """Return the client's address, whole: for deciding, never for keeping.

    It is the socket's peer; if that is a trusted proxy, the last address of X-Forwarded-For that is not a
    trusted proxy itself.
    """
    if not trusted or not _is_within(request.peer, trusted):
        return request.peer
    values = [value.decode("latin-1") for name, value in request.raw_headers if name == b"x-forwarded-for"]
    hops = [hop.strip() for hop in ",".join(values).split(",") if hop.strip()]
    for hop in reversed(hops):
        if not _is_within(hop, trusted):
            return hop
    return hops[0] if hops else request.peer


def _is_within(text: str, networks: Iterable[Network]) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return any(address in network for network in networks)


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, decompressed. Raises Refusal: 413 past ``limit`` bytes, also decompressed; 408 where its end takes longer than
    ``read_seconds``; 400 where the client went away before it; 415 for an encoding other than gzip. Raises FieldError."""
    encoding = header(request, b"content-encoding").strip().lower()
    if encoding not in ("", "identity", "gzip"):
        raise Refusal(415, "content-encoding", "is not gzip", "content_type")
    try:
        async with asyncio.timeout(request.read_seconds):
            body = await _read_body(request, limit)
    except TimeoutError:
        close: Header = (b"connection", b"close")
        raise Refusal(408, "body", f"took longer than {request.read_seconds:g} s", "slow", (close,)) from None
    return _decompressed(body, limit) if encoding == "gzip" else body


def _decompressed(body: bytes, limit: int) -> bytes:
    decompressor = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = decompressor.decompress(body, limit + 1)
    except zlib.error as error:
        raise FieldError("body", "is not gzip", "body") from error
    if len(content) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise FieldError("body", "is not one whole gzip stream", "body")
    return content


async def _read_body(request: Request, limit: int) -> bytes:
    announced = request.headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    length = 0
    while True:
        message = await request.receive()
        if message["type"] != "http.request":
            raise Refusal(400, "body", "ended early", "body")
        chunk = message.get("body", b"")
        length += len(chunk)
        if length > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, "body", f"is larger than {limit} bytes", "too_large", ((b"connection", b"close"),))


def json_response(status: int, content: Mapping[str, Any], headers: Iterable[Header] = ()) -> Response:
    """Return ``content`` as a JSON answer."""
    return Response(
        status, [JSON_TYPE, *headers], json.dumps(content, ensure_ascii=False).encode(errors="replace")
    )


def error_response(status: int, field: str, message: str, headers: Iterable[Header] = ()) -> Response:
    """Return the JSON answer ``{"error": {"field": …, "message": …}}``."""
    return json_response(status, {"error": {"field": field, "message": message}}, headers)
