"""Records under the ids of a Schema Registry, by Avro's rules of resolution (docs/rules.md, section 2)."""

import io
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import fastavro

from schemas.encoding import plain_schema
from schemas.framing import HEADER_LENGTH
from schemas.registry import latest_schema


class Given(NamedTuple):
    """What a registry says of an id: the schema as JSON, and the topics it is for."""

    text: str
    topics: frozenset[str]


@cache
def writer(topic: str, given: Given | None) -> Any:
    """Return the parsed schema that records of ``topic`` are written in, None where the id is no schema for them."""
    if given is None or topic not in given.topics or not _same_times(topic, json.loads(given.text)):
        return None
    try:
        return fastavro.parse_schema(json.loads(given.text, object_hook=_integers))
    except Exception:
        # A registry may hold anything.
        return None


def resolved(topic: str, schema: Any, value: bytes) -> dict[str, Any]:
    """Return the framed ``value`` as a record of the topic's newest schema. Raises whatever the decoder does."""
    ours = latest_schema(topic)
    record: Any = fastavro.schemaless_reader(io.BytesIO(value[HEADER_LENGTH:]), schema, plain_schema(ours.id))
    return {name: record[name] for name in ours.field_names}


def _integers(part: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name != "logicalType"}


def _same_times(topic: str, schema: Mapping[str, Any]) -> bool:
    """Whether no time of the topic's is given in a unit of its own."""
    ours, theirs = _units(latest_schema(topic).parsed), _units(schema)
    return all(theirs.get(name) in (None, unit) for name, unit in ours.items())


def _units(schema: Mapping[str, Any]) -> dict[str, str]:
    fields = schema.get("fields")
    return {
        field["name"]: field["type"]["logicalType"]
        for field in (fields if isinstance(fields, list) else [])
        if isinstance(field, dict) and isinstance(field.get("type"), dict) and "logicalType" in field["type"]
    }
