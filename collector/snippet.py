"""The script that pages load: ``static/funnel.js``, without what only its readers need."""

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from collector.context import Context
from collector.request import Header, Request, Response, header

SOURCE = Path(__file__).with_name("static") / "funnel.js"
_HEADERS: tuple[Header, ...] = (
    # Old enough to be there while the collector is away, young enough to be replaced within the hour.
    (b"cache-control", b"public, max-age=3600, stale-while-revalidate=86400, stale-if-error=86400"),
    (b"x-content-type-options", b"nosniff"),
    # Pages that isolate themselves (COEP) load only what says so.
    (b"cross-origin-resource-policy", b"cross-origin"),
)


class Script(NamedTuple):
    """What is served, and the entity tag that names this very content."""

    body: bytes
    tag: str


@cache
def script() -> Script:
    """Return the script as it is served."""
    body = without_comments(SOURCE.read_text(encoding="utf-8")).encode()
    return Script(body, f'"{sha256(body).hexdigest()[:32]}"')


def without_comments(source: str) -> str:
    """Return ``source`` without indentation, empty lines and lines that are a ``//`` comment."""
    lines = (line.strip() for line in source.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


async def snippet(_context: Context, request: Request) -> Response:
    """``GET /funnel.js``: the script; 304 where the browser has it already."""
    body, tag = script()
    headers = [(b"etag", tag.encode()), *_HEADERS]
    if tag in _tags(header(request, b"if-none-match")):
        return Response(304, headers, b"")
    return Response(200, [(b"content-type", b"text/javascript; charset=utf-8"), *headers], body)


def _tags(value: str) -> list[str]:
    """The entity tags of an If-None-Match; a proxy may have made them weak."""
    return [tag.strip().removeprefix("W/") for tag in value.split(",")]
