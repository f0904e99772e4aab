"""Encoding of single records, for producers; the pipeline decodes whole batches elsewhere."""

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import fastavro

from schemas.framing import HEADER_LENGTH, frame
from schemas.registry import latest_schema, schema_by_id


def encode(topic: str, record: Mapping[str, Any]) -> bytes:
    """Return ``record`` as a framed Avro value under the newest schema of ``topic``.

    Times are integers in ms UTC, money integers in micros; fields with a default may be left out. Raises ValueError where the
    record does not fit the schema.
    """
    schema = latest_schema(topic)
    out = io.BytesIO()
    try:
        fastavro.schemaless_writer(out, plain_schema(schema.id), record)
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{topic}: {error}") from error
    return frame(schema.id, out.getvalue())


def decode_body(schema_id: int, value: bytes) -> dict[str, Any]:
    """Return the record of a framed value that was written under ``schema_id``; times stay integers in ms UTC."""
    raw = fastavro.schemaless_reader(io.BytesIO(value[HEADER_LENGTH:]), plain_schema(schema_id), None)
    return dict(raw)  # type: ignore[arg-type]


@cache
def plain_schema(schema_id: int) -> Any:
    """Return a registered schema, parsed, without logical types: times are the integers they are, which also halves the time of encoding.

    Raises KeyError.
    """
    entry = schema_by_id(schema_id)
    if entry is None:
        raise KeyError(schema_id)
    fields = [{**field, "type": _without_logical_type(field["type"])} for field in entry.parsed["fields"]]
    return fastavro.parse_schema({**entry.parsed, "fields": fields})


def _without_logical_type(avro_type: Any) -> Any:
    return avro_type["type"] if isinstance(avro_type, dict) and "logicalType" in avro_type else avro_type
