"""What browsers load: our own files, and the chart library out of its wheel."""

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import NamedTuple

TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
OURS = ("app.css", "charts.css", "app.js", "draw.js", "format.js", "login.css", "icon.svg")


class Asset(NamedTuple):
    """A file as it is sent, compressed."""

    content: bytes
    type: str
    tag: str


_STYLED = re.compile(rb'document\.getElementById\("([0-9a-f]{64})"\)')


def load() -> Mapping[str, Asset]:
    """Return the files by name. Raises FileNotFoundError."""
    static = resources.files("dashboard") / "static"
    files = {name: (static / name).read_bytes() for name in OURS} | {"plotly.js": _plotly()}
    return {name: _asset(name, content) for name, content in files.items()}


def page(name: str) -> str:
    """Return one of our pages.

    The chart library writes styles for maps into the document, which the policy forbids, unless it finds an element that it takes for them.
    """
    found = _STYLED.search(_plotly())
    text = (resources.files("dashboard") / "static" / name).read_text("utf-8")
    return text.replace("{{styled}}", found[1].decode() if found else "styled")


def _plotly() -> bytes:
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_bytes()


def _asset(name: str, content: bytes) -> Asset:
    tag = hashlib.sha256(content).hexdigest()[:16]
    return Asset(gzip.compress(content, 6, mtime=0), TYPES[name.rpartition(".")[2]], tag)
