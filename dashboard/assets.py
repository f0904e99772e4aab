"""What browsers load: our own files, and the chart library out of its wheel."""

import gzip
import hashlib
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


def load() -> Mapping[str, Asset]:
    """Return the files by name. Raises FileNotFoundError."""
    static = resources.files("dashboard") / "static"
    plotly = resources.files("plotly") / "package_data" / "plotly.min.js"
    files = {name: (static / name).read_bytes() for name in OURS} | {"plotly.js": plotly.read_bytes()}
    return {name: _asset(name, content) for name, content in files.items()}


def page(name: str) -> str:
    """Return one of our pages."""
    return (resources.files("dashboard") / "static" / name).read_text("utf-8")


def _asset(name: str, content: bytes) -> Asset:
    tag = hashlib.sha256(content).hexdigest()[:16]
    return Asset(gzip.compress(content, 6, mtime=0), TYPES[name.rpartition(".")[2]], tag)
