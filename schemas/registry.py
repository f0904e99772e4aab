"""The checked-in schema registry: which id stands for which schema, for ever.

``registry.json`` lists one entry per id: subject (``<topic>-value``), version, file and its SHA-256. A listed file is never edited;
a new version is a new file with a new id, BACKWARD-compatible with the one before.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

SUBJECT_SUFFIX = "-value"


class EditedSchemaError(ValueError):
    """A registered schema file does not have the content it was registered with."""

    def __init__(self, schema_id: int, file: str) -> None:
        super().__init__(f"schema id {schema_id}: {file} was edited after it was registered")
        self.schema_id = schema_id
        self.file = file


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """One version of one topic's schema. ``text`` is its JSON, ``parsed`` the same as Python data."""

    id: int
    topic: str
    version: int
    text: str
    parsed: Mapping[str, Any]

    @property
    def field_names(self) -> tuple[str, ...]:
        """Names of the record's fields in order of encoding."""
        return tuple(field["name"] for field in self.parsed["fields"])


def _entry(row: Mapping[str, Any]) -> RegisteredSchema:
    text = (resources.files("schemas") / row["file"]).read_text(encoding="utf-8")
    if hashlib.sha256(text.encode()).hexdigest() != row["sha256"]:
        raise EditedSchemaError(row["id"], row["file"])
    topic = str(row["subject"]).removesuffix(SUBJECT_SUFFIX)
    return RegisteredSchema(row["id"], topic, row["version"], text, json.loads(text))


@cache
def registered_schemas() -> tuple[RegisteredSchema, ...]:
    """Return every registered schema, in order of id. Raises EditedSchemaError."""
    rows = json.loads((resources.files("schemas") / "registry.json").read_text(encoding="utf-8"))
    return tuple(sorted((_entry(row) for row in rows), key=lambda entry: entry.id))


@cache
def schema_by_id(schema_id: int) -> RegisteredSchema | None:
    """Return the schema registered under ``schema_id``, or None."""
    return next((entry for entry in registered_schemas() if entry.id == schema_id), None)


@cache
def latest_schema(topic: str) -> RegisteredSchema:
    """Return the newest schema of ``topic``. Raises KeyError for an unknown topic."""
    versions = [entry for entry in registered_schemas() if entry.topic == topic]
    if not versions:
        raise KeyError(topic)
    return max(versions, key=lambda entry: entry.version)
