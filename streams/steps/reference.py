"""The reference decoder, for records that are not plainly well-formed.

Avro's encodings are not unique (varints may be padded), and the reference reads some things that no encoder writes. What it reads counts;
it is brought into the one form that everything else here expects.
"""

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import fastavro

from schemas.encoding import decode_body, plain_schema
from schemas.framing import HEADER_LENGTH, frame
from schemas.registry import latest_schema, schema_by_id

_NESTED = ("type", "fields", "items", "values")
_INT_RANGE = 1 << 32
_INT_MAX = (1 << 31) - 1


def canonical(schema_id: int, value: bytes) -> bytes | None:
    """Return the framed ``value`` as an encoder would have written it, None if its body cannot be read as schema ``schema_id``."""
    try:
        record = decode_body(schema_id, value)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _writer(schema_id), _fitted(schema_id, record))
    except Exception:
        return None
    return frame(schema_id, out.getvalue())


def rewritten(topic: str, writer: Any, value: bytes) -> bytes | None:
    """Return the framed ``value``, whose body is of the schema ``writer`` (parsed), as an encoder of our newest schema would have written it.

    By Avro's rules: fields by their names, those that are missing by their defaults. None if that cannot be.
    """
    schema_id = latest_schema(topic).id
    try:
        record = fastavro.schemaless_reader(
            io.BytesIO(value[HEADER_LENGTH:]), writer, plain_schema(schema_id)
        )
        assert isinstance(record, dict)
        out = io.BytesIO()
        fastavro.schemaless_writer(out, _writer(schema_id), _fitted(schema_id, record))
    except Exception:
        return None
    return frame(schema_id, out.getvalue())


def writer_of(schema: Mapping[str, Any]) -> Any:
    """Return ``schema``, a record's as JSON gives it, parsed for `rewritten`; None if it is no Avro schema that can be read here."""
    try:
        return fastavro.parse_schema(_without_logical_types(dict(schema)))
    except Exception:
        # Whatever a registry may hold under an id: what cannot be parsed cannot be read.
        return None


def _without_logical_types(schema: Any) -> Any:
    """Times stay the integers they are."""
    if isinstance(schema, dict):
        kept = {name: part for name, part in schema.items() if name != "logicalType"}
        return {name: _without_logical_types(kept[name]) if name in _NESTED else kept[name] for name in kept}
    return [_without_logical_types(part) for part in schema] if isinstance(schema, list) else schema


def _fitted(schema_id: int, record: dict[str, Any]) -> dict[str, Any]:
    """Fold numbers of type int into 32 bits, as decoders of fixed width do; the reference reads wider ones."""
    return {name: _folded(number) if name in _ints(schema_id) else number for name, number in record.items()}


def _folded(number: int) -> int:
    return (number + _INT_MAX + 1) % _INT_RANGE - _INT_MAX - 1


@cache
def _writer(schema_id: int) -> Any:
    return fastavro.parse_schema(dict(_parsed(schema_id)))


@cache
def _ints(schema_id: int) -> frozenset[str]:
    return frozenset(field["name"] for field in _parsed(schema_id)["fields"] if field["type"] == "int")


def _parsed(schema_id: int) -> Any:
    entry = schema_by_id(schema_id)
    if entry is None:
        raise KeyError(schema_id)
    return entry.parsed
