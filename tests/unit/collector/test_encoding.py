"""The compiled encoder gives the bytes that Avro's own rules give; ids have the form of those that schemas mints."""

import io
import json
import uuid

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.encoding import make_encoder, zigzag
from collector.minting import POOL_BYTES, Minter
from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from schemas.ids import is_minted
from schemas.registry import RegisteredSchema, latest_schema
from schemas.topics import EVENT_TOPICS

LONG = st.integers(-(2**63), 2**63 - 1)


def values_of(field: dict[str, object]) -> st.SearchStrategy[object]:
    if field["type"] == ["null", "long"]:
        return st.none() | LONG
    return st.text(max_size=600) if field["type"] == "string" else LONG


def records_of(schema: RegisteredSchema) -> st.SearchStrategy[dict[str, object]]:
    fields = {field["name"]: values_of(field) for field in schema.parsed["fields"]}
    optional = {name for name in fields if "default" in _field(schema, name)}
    return st.fixed_dictionaries(
        {name: values for name, values in fields.items() if name not in optional},
        optional={name: fields[name] for name in optional},
    )


def _field(schema: RegisteredSchema, name: str) -> dict[str, object]:
    return next(field for field in schema.parsed["fields"] if field["name"] == name)


def as_avro_does(schema: RegisteredSchema, record: dict[str, object]) -> bytes:
    text = json.dumps(schema.parsed).replace('"logicalType"', '"note"')
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(text)), record)
    return out.getvalue()


@pytest.mark.parametrize("topic", EVENT_TOPICS)
@given(data=st.data())
def test_the_same_bytes_as_fastavro(topic: str, data: st.DataObject) -> None:
    schema = latest_schema(topic)
    record = data.draw(records_of(schema))
    value = make_encoder(topic)(record)
    assert schema_id_of(value) == schema.id
    assert value[5:] == as_avro_does(schema, record)
    assert record.items() <= decode_body(schema.id, value).items()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"received_at": 1, "occurred_at": 1, "event_id": "e"},
        {"received_at": 2**63, "occurred_at": 1, "event_id": "e", "visitor_id": "v"},
        {"received_at": "1", "occurred_at": 1, "event_id": "e", "visitor_id": "v"},
        {"received_at": 1, "occurred_at": 1, "event_id": 5, "visitor_id": "v"},
        {"received_at": 1, "occurred_at": 1, "event_id": "\ud800", "visitor_id": "v"},
    ],
)
def test_what_does_not_fit_the_schema_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        make_encoder("impressions")(record)


def test_zigzag() -> None:
    assert [zigzag(value) for value in (0, -1, 1, -64, 64)] == [
        b"\x00",
        b"\x01",
        b"\x02",
        b"\x7f",
        b"\x80\x01",
    ]


def test_minted_ids_are_of_the_agreed_form_and_never_repeat() -> None:
    minter = Minter()
    count = POOL_BYTES // 8
    ids = [minter.mint() for _ in range(count)]
    on_route = [minter.mint("abcd") for _ in range(count)]
    event_ids = [minter.event_id() for _ in range(count)]
    assert all(is_minted(minted) for minted in ids + on_route)
    assert all(minted.startswith("abcd") for minted in on_route)
    assert all(uuid.UUID(event_id).version == 4 for event_id in event_ids)
    assert all(uuid.UUID(event_id).variant == uuid.RFC_4122 for event_id in event_ids)
    assert len({*ids, *on_route, *event_ids}) == 3 * count
    assert len({minted[:4] for minted in ids}) > count // 2
