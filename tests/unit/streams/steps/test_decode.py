"""Decoding a batch agrees, record by record, with the reference decoder, whatever the bytes are."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import fastavro
import pyruhvro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import registry
from schemas.encoding import decode_body, encode
from schemas.framing import HEADER_LENGTH, frame, schema_id_of
from schemas.registry import RegisteredSchema, latest_schema, schema_by_id
from schemas.topics import CLICKS, CONVERSIONS, CREDIT_REQUESTS, IMPRESSIONS, TOPICS
from streams.steps import decode as module
from streams.steps import plans
from streams.steps.decode import decode
from tests.unit.streams.steps.records import NOW, UUID, anything, batch, encoded, topics, valid

VARINT_NOISE = (
    b"\x80\x00",
    b"\xff" * 9 + b"\x01",
    b"\xff" * 10 + b"\x01",
    b"\x01",
    b"\xfe\xff\xff\xff\x0f",
    b"\x80",
)


@st.composite
def damaged(draw: st.DrawFn, topic: str) -> bytes | None:
    """A value of ``topic``, whole or damaged in one of many ways."""
    value = encode(topic, draw(anything(topic)))
    place = draw(st.integers(0, len(value)))
    how = draw(st.sampled_from(("whole", "cut", "flip", "insert", "replace", "more", "noise", "null", "id")))
    if how == "cut":
        return value[:place]
    if how == "flip":
        return (
            value[:place]
            + bytes(byte ^ 1 << draw(st.integers(0, 7)) for byte in value[place : place + 1])
            + value[place + 1 :]
        )
    if how == "insert":
        return value[:place] + draw(st.sampled_from(VARINT_NOISE)) + value[place:]
    if how == "replace":
        return value[:place] + draw(st.sampled_from(VARINT_NOISE)) + value[place + 1 :]
    if how == "more":
        return value + draw(st.binary(max_size=9))
    if how == "noise":
        return frame(latest_schema(topic).id, draw(st.binary(max_size=60)))
    if how == "id":
        return frame(draw(st.sampled_from((0, 1, 2, 5, 77, 1 << 31, (1 << 32) - 1))), value[HEADER_LENGTH:])
    return None if how == "null" else value


def expected(topic: str, value: bytes | None) -> dict[str, Any] | tuple[str, str]:
    """The record, or reason and detail, by docs/rules.md."""
    schema_id = schema_id_of(value)
    if schema_id is None or value is None:
        return "framing", ""
    schema = schema_by_id(schema_id)
    if schema is None or schema.topic != topic:
        return "unknown_schema", str(schema_id)
    try:
        return decode_body(schema_id, value)
    except Exception:
        return "undecodable", ""


def folded(name: str, value: Any) -> Any:
    """The reference reads wider integers than the type has; the low 32 bits count."""
    return (value + (1 << 31)) % (1 << 32) - (1 << 31) if name in ("trigger_partition", "bot") else value


@given(st.data(), topics)
def test_agrees_with_the_reference_on_any_bytes(data: st.DataObject, topic: str) -> None:
    values = data.draw(st.lists(damaged(topic), min_size=1, max_size=8))
    outcomes = [expected(topic, value) for value in values]
    frame, rejects = decode(batch(topic, values))
    read = [(row, outcome) for row, outcome in enumerate(outcomes) if isinstance(outcome, dict)]
    refused = [(row, *outcome) for row, outcome in enumerate(outcomes) if isinstance(outcome, tuple)]
    assert frame["_row"].to_list() == [row for row, _ in read]
    for got, (_, record) in zip(frame.iter_rows(named=True), read, strict=True):
        assert {name: got[name] for name in record} == {
            name: folded(name, value) for name, value in record.items()
        }
    assert rejects.select("_row", "reason", "detail").rows() == refused
    assert rejects["raw"].to_list() == [values[row] or b"" for row, _, _ in refused]


@given(st.data(), st.sampled_from((IMPRESSIONS, CLICKS, CONVERSIONS)))
def test_content_is_what_two_sendings_have_in_common(data: st.DataObject, topic: str) -> None:
    first = data.draw(anything(topic))
    other = data.draw(anything(topic))
    resent = {**first, **{name: other[name] for name in plans.VARIABLE_FIELDS}}
    field = data.draw(st.sampled_from(sorted(first.keys() - plans.VARIABLE_FIELDS)))
    changed = {**first, field: other[field]}
    content = decode(batch(topic, [encode(topic, record) for record in (first, resent, changed)]))[0][
        "content"
    ]
    assert content[0] == content[1]
    assert (content[0] == content[2]) == (first[field] == other[field])


def test_content_does_not_depend_on_how_a_length_is_written() -> None:
    plain = encoded(CLICKS, consent="denied")
    at = plain.index(b"\x0cdenied")
    padded = plain[:at] + b"\x8c\x00denied"
    trailing = plain + b"more"
    frame, rejects = decode(batch(CLICKS, [plain, padded, trailing]))
    assert rejects.height == 0
    assert frame["consent"].to_list() == ["denied"] * 3
    assert frame["content"].n_unique() == 1


@pytest.mark.parametrize(
    ("ending", "consent"),
    [
        (b"\x0cdenied", "denied"),
        (b"\x8c\x00denied", "denied"),
        (b"\x01denied", None),
        (b"\x0edenied", None),
        (b"\x0cdenie\xff", None),
        (b"\xff" * 10 + b"\x01", None),
        (b"", None),
    ],
)
def test_the_last_field_of_a_record(ending: bytes, consent: str | None) -> None:
    value = encoded(CLICKS, consent="denied").removesuffix(b"\x0cdenied") + ending
    whole = encoded(CLICKS, consent="denied")
    frame, rejects = decode(batch(CLICKS, [whole, value, whole]))
    assert frame["consent"].to_list() == ["denied", *([consent] if consent else []), "denied"]
    assert frame["content"].n_unique() == 1
    assert rejects["reason"].to_list() == ([] if consent else ["undecodable"])


def test_content_of_a_credit_request_is_nothing() -> None:
    assert decode(batch(CREDIT_REQUESTS, [encoded(CREDIT_REQUESTS)]))[0]["content"].to_list() == [0]


@pytest.mark.parametrize("topic", TOPICS)
def test_columns_say_where_a_row_came_from(topic: str) -> None:
    frame, rejects = decode(batch(topic, [b"x", encoded(topic), None, encoded(topic)]))
    assert frame.select("_partition", "_offset", "_record_time", "_row").rows() == [
        (3, 110, NOW, 1),
        (3, 130, NOW, 3),
    ]
    assert rejects.select("_partition", "_offset", "_record_time", "_row").rows() == [
        (3, 100, NOW, 0),
        (3, 120, NOW, 2),
    ]
    assert rejects.select("raw", "raw_key", "event_id").rows() == [(b"x", b"k0", None), (b"", b"", None)]


@pytest.mark.parametrize("topic", TOPICS)
def test_columns_are_the_same_with_and_without_rows(topic: str) -> None:
    none, all_rejects = decode(batch(topic, [None]))
    every, no_rejects = decode(batch(topic, [encoded(topic)]))
    assert none.schema == every.schema
    assert all_rejects.schema == no_rejects.schema


@pytest.mark.parametrize(("name", "most"), [("_AT_ONCE", 3), ("_MOST_BYTES", 500)])
def test_many_records_and_many_bytes_are_decoded_in_parts(
    name: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, most)
    names = [str(number) for number in range(7)]
    frame, rejects = decode(batch(CLICKS, [encoded(CLICKS, campaign=name) for name in names]))
    assert frame["campaign"].to_list() == names
    assert frame["_row"].to_list() == list(range(7))
    assert rejects.height == 0


def test_a_record_that_the_decoder_refuses_after_all_is_found_by_halving(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    genuine = pyruhvro.deserialize_array_threaded

    def squeamish(values: Sequence[bytes], schema: str, chunks: int) -> Any:
        if any(b"poison" in value for value in values):
            raise ValueError("no")
        return genuine(values, schema, chunks)

    monkeypatch.setattr(module.pyruhvro, "deserialize_array_threaded", squeamish)
    names = ["a", "b", "poison", "c", "d", "poison", "e"]
    clean = decode(batch(CLICKS, [encoded(CLICKS, campaign="e")]))[0]["content"][0]
    frame, rejects = decode(batch(CLICKS, [encoded(CLICKS, campaign=name) for name in names]))
    assert frame["campaign"].to_list() == ["a", "b", "c", "d", "e"]
    assert frame["_row"].to_list() == [0, 1, 3, 4, 6]
    assert frame["content"][4] == clean
    assert rejects.select("_row", "reason").rows() == [(2, "undecodable"), (5, "undecodable")]


@pytest.fixture
def second_version() -> Iterator[RegisteredSchema]:
    """A second version of the clicks' schema: a new field at the end, one gone, an int become long would be the same."""
    first = latest_schema(CLICKS)
    fields = [field for field in first.parsed["fields"] if field["name"] != "sub5"]
    parsed = {**first.parsed, "fields": [*fields, {"name": "site", "type": "string", "default": "main"}]}
    second = RegisteredSchema(900, CLICKS, 2, json.dumps(parsed), parsed)
    known = (*registry.registered_schemas(), second)
    caches = (registry.schema_by_id, registry.latest_schema, plans.plans, plans.latest_plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "registered_schemas", lambda: known)
        patch.setattr(plans, "registered_schemas", lambda: known)
        for cached in caches:
            cached.cache_clear()
        yield second
    for cached in caches:
        cached.cache_clear()


def test_versions_of_a_schema_meet_in_the_columns_of_the_newest(second_version: RegisteredSchema) -> None:
    old = frame(2, _body(schema_by_id(2), {**valid(CLICKS), "campaign": "old", "sub5": "gone"}))
    new = frame(900, _body(second_version, {**valid(CLICKS), "campaign": "new", "site": "shop"}))
    good, rejects = decode(batch(CLICKS, [new, old, b"\0\0\0\x03\x84", new]))
    assert good.select("_row", "campaign", "site", "event_id").rows() == [
        (0, "new", "shop", UUID),
        (1, "old", "main", UUID),
        (3, "new", "shop", UUID),
    ]
    assert "sub5" not in good.columns
    assert rejects.select("_row", "reason").rows() == [(2, "undecodable")]


def _body(schema: RegisteredSchema | None, record: dict[str, Any]) -> bytes:
    assert schema is not None
    out = io.BytesIO()
    fields = {field["name"]: field.get("default", "") for field in schema.parsed["fields"]}
    fastavro.schemaless_writer(out, fastavro.parse_schema(dict(schema.parsed)), {**fields, **record})
    return out.getvalue()
