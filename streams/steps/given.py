"""Schema ids that a Schema Registry has given: what they stand for in one topic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.registry import latest_schema
from streams.steps.reference import writer_of


@dataclass(frozen=True, slots=True)
class GivenIds:
    """``ours``: ids of what is encoded like our newest schema of the topic. ``others``: the parsed schemas of other ids."""

    ours: frozenset[int] = frozenset()
    others: Mapping[int, Any] = field(default_factory=dict)


def given_ids(topic: str, schemas: Mapping[int, Mapping[str, Any]]) -> GivenIds:
    """Return what ``schemas``, the topic's by id, as JSON gives them, are to the decoder; those that it cannot read are left out."""
    ours = frozenset(number for number, schema in schemas.items() if _is_ours(topic, schema))
    writers = {number: writer_of(schema) for number, schema in schemas.items() if number not in ours}
    readable = {
        number: writer
        for number, writer in writers.items()
        if writer is not None and not _other_times(topic, schemas[number])
    }
    return GivenIds(ours, readable)


def _is_ours(topic: str, schema: Mapping[str, Any]) -> bool:
    """Names and types of the fields, in their order, are all that an encoding depends on."""
    return _fields(schema) == _fields(latest_schema(topic).parsed)


def _fields(schema: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    fields = schema.get("fields")
    if not isinstance(fields, list) or not all(isinstance(one, dict) for one in fields):
        return []
    return [(one.get("name"), one.get("type")) for one in fields]


def _other_times(topic: str, schema: Mapping[str, Any]) -> bool:
    """Whether a time is in another unit than ours: Avro's rules would take the number as it is."""
    wanted = {name: _logical(kind) for name, kind in _fields(latest_schema(topic).parsed)}
    return any(
        _logical(kind) not in (None, wanted[name]) for name, kind in _fields(schema) if wanted.get(name)
    )


def _logical(kind: Any) -> Any:
    return kind.get("logicalType") if isinstance(kind, dict) else None
