"""The registry: ids are for ever, and every next version can read what the one before wrote."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from schemas.registry import (
    EditedSchemaError,
    RegisteredSchema,
    _entry,
    latest_schema,
    registered_schemas,
    schema_by_id,
)
from schemas.topics import KIND_OF_TOPIC, TOPICS

SCHEMAS = Path(__file__).parents[3] / "schemas"
# What producers have been told. A line is added when a schema is; none is ever changed.
STABLE = {
    1: "impressions",
    2: "clicks",
    3: "leads",
    4: "conversions",
    5: "credit-requests",
    6: "postbacks",
    7: "leads",
    8: "credit-requests",
    9: "links",
}

HOPS = ("credit-requests", "links")


def can_read(reader: str, writer: str) -> bool:
    answer = ReaderWriterCompatibilityChecker().get_compatibility(parse(reader), parse(writer))
    return answer.compatibility is SchemaCompatibilityType.compatible


def versions(topic: str) -> list[RegisteredSchema]:
    return sorted(
        (entry for entry in registered_schemas() if entry.topic == topic), key=lambda entry: entry.version
    )


def test_ids_are_stable() -> None:
    assert {entry.id: entry.topic for entry in registered_schemas()} == STABLE


@pytest.mark.parametrize("topic", TOPICS)
def test_every_version_reads_what_the_one_before_wrote(topic: str) -> None:
    assert [entry.version for entry in versions(topic)] == list(range(1, len(versions(topic)) + 1))
    for before, after in pairwise(versions(topic)):
        assert can_read(after.text, before.text)


def evolved(topic: str, **field: object) -> str:
    schema = json.loads(latest_schema(topic).text)
    schema["fields"].append({"name": "added", **field})
    return json.dumps(schema)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_check_refuses_what_is_not_backward_compatible(topic: str) -> None:
    latest = latest_schema(topic).text
    assert can_read(evolved(topic, type="string", default=""), latest)
    assert not can_read(evolved(topic, type="string"), latest)
    retyped = json.loads(latest)
    retyped["fields"][0]["type"] = "bytes" if topic in HOPS else "string"
    if topic not in HOPS:
        assert not can_read(json.dumps(retyped), latest)


@pytest.mark.parametrize("topic", TOPICS)
def test_the_schema_people_read_is_the_newest_registered(topic: str) -> None:
    assert (SCHEMAS / f"{KIND_OF_TOPIC[topic]}.avsc").read_text() == latest_schema(topic).text


def test_an_edited_file_is_refused() -> None:
    [row] = [row for row in json.loads((SCHEMAS / "registry.json").read_text()) if row["id"] == 1]
    with pytest.raises(EditedSchemaError, match="schema id 1"):
        _entry({**row, "sha256": "0" * 64})


def test_an_unknown_id_is_no_schema() -> None:
    assert schema_by_id(4711) is None
    with pytest.raises(KeyError):
        latest_schema("nothing")


@pytest.mark.parametrize("topic", [topic for topic in TOPICS if topic not in HOPS])
def test_what_may_differ_between_sendings_comes_first(topic: str) -> None:
    assert latest_schema(topic).field_names[:4] == ("received_at", "ip", "user_agent", "event_id")
