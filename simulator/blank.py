"""Records with every field, to be filled in."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from schemas.registry import latest_schema
from schemas.topics import TOPIC_OF_KIND


@cache
def blank(kind: str) -> Mapping[str, Any]:
    """Return a record of ``kind`` with every field, in order of encoding, at its default ("" or 0 where it has none)."""
    fields = latest_schema(TOPIC_OF_KIND[kind]).parsed["fields"]
    return {field["name"]: field.get("default", "" if field["type"] == "string" else 0) for field in fields}
