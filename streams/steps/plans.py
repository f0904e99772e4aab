"""How to read the records of each registered schema."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.registry import RegisteredSchema, latest_schema, registered_schemas
from schemas.topics import CREDIT_REQUESTS
from streams.steps.scan import BOOLEAN, INT, LONG, NEVER_NULL, STRING

VARIABLE_FIELDS = frozenset({"received_at", "ip", "user_agent", "event_id"})
"""Fields that may differ between two sendings of one event; they come first in every schema."""

FRAMING_COLUMNS = 2
_FRAMING_FIELDS = ({"name": "_magic", "type": "boolean"}, {"name": "_schema_id", "type": "float"})
_KINDS = {"long": LONG, "int": INT, "boolean": BOOLEAN, "string": STRING}
_DTYPES = {"long": pl.Int64(), "int": pl.Int32(), "boolean": pl.Boolean(), "string": pl.String()}


class UnsupportedSchemaError(ValueError):
    """A registered schema is not of the flat form that the pipeline reads."""

    def __init__(self, schema_id: int, what: str) -> None:
        super().__init__(f"schema id {schema_id}: {what}")
        self.schema_id = schema_id
        self.what = what


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read the records of one schema.

    ``framed_text`` is the schema with two fields put in front that take up the 5 bytes of framing (a boolean is one byte, a float four),
    so that framed values can be decoded without cutting each one. ``leading`` counts the fields that are no content. ``defaults`` are of
    the fields that have one.
    """

    id: int
    framed_text: str
    kinds: npt.NDArray[np.uint8]
    nulls: npt.NDArray[np.uint8]
    leading: int
    dtypes: pl.Schema
    defaults: Mapping[str, Any]


def _plain_type(schema_id: int, avro_type: Any) -> tuple[str, int]:
    """Return the name of a field's type and the branch of its null."""
    if isinstance(avro_type, list):
        if len(avro_type) != 2 or "null" not in avro_type:
            raise UnsupportedSchemaError(schema_id, f"union {avro_type}")
        null_branch = avro_type.index("null")
        return _plain_type(schema_id, avro_type[1 - null_branch])[0], null_branch
    name = avro_type["type"] if isinstance(avro_type, dict) else avro_type
    if name not in _KINDS:
        raise UnsupportedSchemaError(schema_id, f"type {name}")
    return name, NEVER_NULL


def _leading(schema: RegisteredSchema) -> int:
    """Return the number of fields before the content; all of a credit request is none."""
    if schema.topic == CREDIT_REQUESTS:
        return len(schema.field_names)
    variable = [name in VARIABLE_FIELDS for name in schema.field_names]
    if any(variable[sum(variable) :]):
        raise UnsupportedSchemaError(
            schema.id, f"{sorted(VARIABLE_FIELDS)} must come before all other fields"
        )
    return sum(variable)


def plan_of(schema: RegisteredSchema) -> Plan:
    """Return the plan of a schema. Raises UnsupportedSchemaError."""
    fields = schema.parsed["fields"]
    types = [_plain_type(schema.id, field["type"]) for field in fields]
    return Plan(
        id=schema.id,
        framed_text=json.dumps({**schema.parsed, "fields": [*_FRAMING_FIELDS, *fields]}),
        kinds=np.array([_KINDS[name] for name, _ in types], dtype=np.uint8),
        nulls=np.array([null_branch for _, null_branch in types], dtype=np.uint8),
        leading=_leading(schema),
        dtypes=pl.Schema(
            {field["name"]: _DTYPES[name] for field, (name, _) in zip(fields, types, strict=True)}
        ),
        defaults={field["name"]: field["default"] for field in fields if "default" in field},
    )


@cache
def plans(topic: str) -> Mapping[int, Plan]:
    """Return the plans of all schemas that are registered for ``topic``, by schema id. Raises UnsupportedSchemaError."""
    return {schema.id: plan_of(schema) for schema in registered_schemas() if schema.topic == topic}


@cache
def latest_plan(topic: str) -> Plan:
    """Return the plan of the newest schema of ``topic``. Raises KeyError for an unknown topic."""
    return plans(topic)[latest_schema(topic).id]
