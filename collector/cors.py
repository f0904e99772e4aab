"""Which other origins' pages may read what the collector answers: those of an exact list, and no others."""

import re
from collections.abc import Sequence

from collector.request import Header, Request, Response, header

_ORIGIN = re.compile(
    r"https?://(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?",
    re.ASCII,
)
_DEFAULT_PORTS = ("http://:80", "https://:443")
_VARY: Header = (b"vary", b"origin")
_PREFLIGHT: tuple[Header, ...] = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-max-age", b"7200"),
)


def check_origin(text: str) -> str:
    """Return ``text`` if it is an origin as browsers spell it: scheme, host in lower case, and port where it is not the usual
    one. Raises ValueError."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an origin, such as https://shop.example")
    port = match["port"]
    if port and (int(port) > 65535 or f"{text.partition(':')[0]}://:{port}" in _DEFAULT_PORTS):
        raise ValueError(f"{text!r} has a port that no browser sends")
    return text


def cors_headers(request: Request, origins: Sequence[str]) -> list[Header]:
    """Return what lets a page of a listed origin read the answer, its cookies included; nothing where no origin is listed."""
    if not origins:
        return []
    origin = header(request, b"origin")
    if origin not in origins:
        return [_VARY]
    return [
        _VARY,
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"x-funnel-event-id"),
    ]


def preflight(request: Request, origins: Sequence[str]) -> Response | None:
    """Return the answer to a browser that asks before it sends; None where its page's origin is not listed, or it asks nothing."""
    listed = header(request, b"origin") in origins
    if not listed or not header(request, b"access-control-request-method"):
        return None
    return Response(204, list(_PREFLIGHT), b"")
