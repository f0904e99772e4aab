"""Lists that classify traffic; data, kept apart from the code that applies them."""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources


@cache
def channel_lists() -> Mapping[str, frozenset[str]]:
    """Return the lists of ``channels.json`` by name, all entries in lower case."""
    text = (resources.files("schemas.reference") / "channels.json").read_text(encoding="utf-8")
    return {name: frozenset(entries) for name, entries in json.loads(text).items()}
