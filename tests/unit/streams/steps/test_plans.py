"""Every registered schema can be read, and has its variable fields in front."""

import json
from typing import Any

import pytest

from schemas.registry import RegisteredSchema, registered_schemas
from schemas.topics import CLICKS, CREDIT_REQUESTS, LINKS
from streams.steps.plans import VARIABLE_FIELDS, UnsupportedSchemaError, plan_of


def schema(*fields: dict[str, Any]) -> RegisteredSchema:
    parsed = {"type": "record", "name": "Thing", "fields": list(fields)}
    return RegisteredSchema(9, CLICKS, 1, json.dumps(parsed), parsed)


@pytest.mark.parametrize(
    "registered", registered_schemas(), ids=lambda entry: f"{entry.topic}-{entry.version}"
)
def test_registered_schemas_have_plans(registered: RegisteredSchema) -> None:
    plan = plan_of(registered)
    assert tuple(plan.dtypes.names()) == registered.field_names
    # A worker's own links have none but the id, which follows from the content.
    variable = VARIABLE_FIELDS if registered.topic != LINKS else {"event_id"}
    expected = len(registered.field_names) if registered.topic == CREDIT_REQUESTS else len(variable)
    assert plan.leading == expected


@pytest.mark.parametrize(
    "avro_type", ["double", "bytes", ["null", "long", "string"], {"type": "array", "items": "long"}]
)
def test_other_types_are_refused_by_name(avro_type: Any) -> None:
    with pytest.raises(UnsupportedSchemaError, match="schema id 9"):
        plan_of(schema({"name": "x", "type": avro_type}))


def test_variable_fields_further_back_are_refused() -> None:
    with pytest.raises(UnsupportedSchemaError, match="before all other fields"):
        plan_of(schema({"name": "campaign", "type": "string"}, {"name": "ip", "type": "string"}))
