"""The reference decoder, for records that are not plainly well-formed.

Avro's encodings are not unique (varints may be padded), and the reference reads some things that no encoder writes. What it reads counts;
it is brought into the one form that everything else here expects.
"""

import io
from functools import cache
from typing import Any

import fastavro

from schemas.encoding import decode_body
from schemas.framing import frame
from schemas.registry import schema_by_id

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
