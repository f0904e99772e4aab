"""Ids of a Schema Registry: our schema under any id, other schemas by Avro's rules of resolution."""

import io
import json
from collections.abc import Mapping
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encoding import encode
from schemas.framing import frame, reframed
from schemas.registry import latest_schema
from schemas.topics import CLICKS, CONVERSIONS, TOPICS
from simulator.oracle.given import Given
from simulator.oracle.reject import Reject, read
from streams.steps.decode import decode
from streams.steps.given import GivenIds, given_ids
from tests.unit.streams.steps.records import NOW, anything, batch, encoded, topics, valid

OURS, OTHER, FOREIGN = 70_001, 1 << 31, 4711


def other_schema(topic: str, dropped: frozenset[str], turned: bool) -> dict[str, Any]:
    """The topic's schema without some fields that have defaults, with two more, perhaps in another order."""
    schema = latest_schema(topic).parsed
    fields = [field for field in schema["fields"] if not (field["name"] in dropped and "default" in field)]
    more = [{"name": "extra", "type": "string"}, {"name": "list", "type": {"type": "array", "items": "int"}}]
    fields = [*more, *fields]
    return {**schema, "fields": fields[::-1] if turned else fields}


def written(schema: Mapping[str, Any], record: Mapping[str, Any]) -> bytes:
    plain = json.loads(
        json.dumps(schema), object_hook=lambda part: {k: v for k, v in part.items() if k != "logicalType"}
    )
    names = {field["name"] for field in schema["fields"]}
    out = io.BytesIO()
    whole = {"extra": "x", "list": [1, 2], **record}
    fastavro.schemaless_writer(out, fastavro.parse_schema(plain), {name: whole[name] for name in names})
    return out.getvalue()


@given(st.data(), topics, st.booleans())
def test_another_schema_gives_the_same_rows_and_the_oracle_agrees(
    data: st.DataObject, topic: str, turned: bool
) -> None:
    schema = latest_schema(topic)
    names = [field["name"] for field in schema.parsed["fields"] if "default" in field]
    dropped = frozenset(data.draw(st.sets(st.sampled_from(names)))) if names else frozenset()
    record = data.draw(anything(topic))
    reduced = {
        **record,
        **{field["name"]: field["default"] for field in schema.parsed["fields"] if field["name"] in dropped and "default" in field},
    }  # fmt: skip
    other = other_schema(topic, dropped, turned)
    ids = given_ids(topic, {OURS: schema.parsed, OTHER: other})
    values = [frame(OTHER, written(other, record)), reframed(OURS, encode(topic, reduced)), frame(OTHER, b"")]
    good, rejects = decode(batch(topic, values), ids)
    assert good["_row"].to_list() == [0, 1]
    rows = good.drop("_row", "_offset").rows()
    assert rows[0] == rows[1]
    assert rejects.select("_row", "reason", "raw").rows() == [(2, "undecodable", values[2])]
    said = {OTHER: Given(json.dumps(other), frozenset({topic}))}
    answer = read(topic, values[0], NOW, said)
    if not isinstance(answer, Reject):
        assert answer == {name: good.row(0, named=True)[name] for name in answer}


@pytest.mark.parametrize("topic", TOPICS)
def test_without_other_schemas_only_ids_differ(topic: str) -> None:
    plain, _ = decode(batch(topic, [encoded(topic)]))
    given_frame, rejects = decode(
        batch(topic, [reframed(OURS, encoded(topic)), encoded(topic)]), GivenIds(frozenset({OURS}))
    )
    assert given_frame.drop("_offset").rows() == plain.drop("_offset").rows()
    assert rejects.select("_row", "reason", "detail").rows() == [
        (1, "unknown_schema", str(latest_schema(topic).id))
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "record", "name": "Click", "fields": [{"name": "a", "type": "nonsense"}]},
        {"type": "record", "name": "Click", "fields": "none"},
        {
            **latest_schema(CLICKS).parsed,
            "fields": [
                {**field, "type": {"type": "long", "logicalType": "timestamp-micros"}}
                if field["name"] == "occurred_at"
                else field
                for field in latest_schema(CLICKS).parsed["fields"]
            ],
        },
    ],
    ids=["unknown type", "fields are no list", "another unit of time"],
)
def test_a_schema_that_cannot_be_read_is_an_unknown_one(schema: Mapping[str, Any]) -> None:
    ids = given_ids(CLICKS, {FOREIGN: schema})
    assert ids == GivenIds()
    value = reframed(FOREIGN, encoded(CLICKS))
    assert decode(batch(CLICKS, [value]), ids)[1]["reason"].to_list() == ["unknown_schema"]
    said = {FOREIGN: Given(json.dumps(schema), frozenset({CLICKS}))}
    assert read(CLICKS, value, NOW, said) == Reject("unknown_schema", str(FOREIGN))


def test_a_schema_that_lacks_what_has_no_default_is_undecodable() -> None:
    schema = latest_schema(CONVERSIONS).parsed
    fields = [field for field in schema["fields"] if field["name"] != "partner"]
    ids = given_ids(CONVERSIONS, {FOREIGN: {**schema, "fields": fields}})
    record = {**{field["name"]: field.get("default") for field in fields}, **valid(CONVERSIONS)}
    value = frame(FOREIGN, written({**schema, "fields": fields}, record))
    good, rejects = decode(batch(CONVERSIONS, [value]), ids)
    has_default = "default" in next(field for field in schema["fields"] if field["name"] == "partner")
    assert (good.height, rejects["reason"].to_list()) == ((1, []) if has_default else (0, ["undecodable"]))
