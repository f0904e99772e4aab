"""Ids from a Schema Registry, end to end, and a client that knows a refusal from a failure.

collector ── registers ─▶ registry ◀─ asks once per id ── worker
    └── frames under those ids ─▶ Kafka ◀── another producer, with schemas of its own
"""

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import fastavro
import httpx
import pytest
from rich.console import Console

from deploy.settings import clickhouse_settings
from deploy.verification import compare_now
from schemas.framing import frame, schema_id_of
from schemas.ids import route_of
from schemas.partitioning import partition_for
from schemas.registry import latest_schema
from schemas.remote import RegistryAway, RegistryRefused, RegistrySettings, SchemaRegistry, registered
from schemas.topics import CLICKS, CREDIT_REQUESTS, IMPRESSIONS, TOPICS
from simulator.items import Prepared
from simulator.kafka import read_log, send_prepared
from sinks.clickhouse.client import connect
from tests.integration.writable_registry import (
    FIRST_ID,
    PASSWORD,
    USER,
    WritableRegistry,
    serve_writable_registry,
)
from tests.support import PARTITIONS, Running, drain
from tests.unit.streams.steps.records import valid

WAIT = 60.0


@pytest.fixture
def registry() -> Iterator[WritableRegistry]:
    with serve_writable_registry() as server:
        yield server


def settings_of(registry: WritableRegistry, password: str = PASSWORD) -> RegistrySettings:
    return RegistrySettings(registry.url, USER, password, timeout_seconds=5.0)


class TestClient:
    def test_a_schema_is_registered_once(self, registry: WritableRegistry) -> None:
        first = registered(settings_of(registry), TOPICS)
        assert sorted(first.values()) == [FIRST_ID + place for place in range(len(TOPICS))]
        posts = len([line for line in registry.content.asked if line.endswith("/versions")])
        assert registered(settings_of(registry), TOPICS) == first
        assert len([line for line in registry.content.asked if line.endswith("/versions")]) == posts

    def test_what_an_id_stands_for(self, registry: WritableRegistry) -> None:
        [number] = registered(settings_of(registry), [CLICKS]).values()
        found = SchemaRegistry(settings_of(registry)).find(number)
        assert found is not None
        assert found.schema == latest_schema(CLICKS).parsed
        assert found.topics == {CLICKS}

    def test_an_unknown_id_and_another_format_are_nothing(self, registry: WritableRegistry) -> None:
        other = registry.content.add("clicks-value", {"type": "object"}, schemaType="JSON")
        scalar = registry.content.add("clicks-value", {"type": "string"})
        client = SchemaRegistry(settings_of(registry))
        assert [client.find(number) for number in (4711, other, scalar)] == [None] * 3

    def test_one_that_is_away_is_asked_again(self, registry: WritableRegistry) -> None:
        registry.content.away = True
        with pytest.raises(RegistryAway, match="503"):
            SchemaRegistry(settings_of(registry)).find(1)

    def test_a_404_of_something_else_is_no_unknown_id(self, registry: WritableRegistry) -> None:
        lost = RegistrySettings("http://127.0.0.1:1", timeout_seconds=1.0)
        with pytest.raises(RegistryAway):
            SchemaRegistry(lost).find(1)

    def test_a_refusal_is_final_and_shows_no_password(self, registry: WritableRegistry) -> None:
        with pytest.raises(RegistryRefused, match="401") as caught:
            registered(settings_of(registry, "wrong-password"), TOPICS)
        assert "wrong-password" not in str(caught.value)
        registry.content.taken = False
        with pytest.raises(RegistryRefused, match="incompatible"):
            registered(settings_of(registry), TOPICS)


def evolved() -> dict[str, Any]:
    """The clicks' schema as another producer may have it: fields fewer, more and in another order, a time without its unit."""
    schema = latest_schema(CLICKS).parsed
    fields = [field for field in schema["fields"] if field["name"] not in ("sub4", "sub5", "consent")]
    fields = [{"name": "site", "type": ["null", "string"], "default": None}, *reversed(fields)]
    fields = [{**field, "type": "long"} if field["name"] == "received_at" else field for field in fields]
    return {**schema, "fields": fields}


def body(schema: Mapping[str, Any], record: Mapping[str, Any]) -> bytes:
    defaults = {field["name"]: field.get("default") for field in schema["fields"]}
    plain = json.loads(
        json.dumps(schema), object_hook=lambda part: {k: v for k, v in part.items() if k != "logicalType"}
    )
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(plain), {**defaults, **record})
    return out.getvalue()


def click(schema_id: int, schema: Mapping[str, Any], number: int, now: int, **more: Any) -> Prepared:
    visitor = f"crm-{number}"
    record = valid(
        CLICKS,
        visitor_id=visitor,
        click_id=f"foreign-{number}",
        campaign="evolved",
        occurred_at=now,
        received_at=now,
    )
    record["event_id"] = f"00000000-0000-4000-8000-{number:012}"
    key = route_of(visitor).encode()
    value = frame(schema_id, body(schema, {**record, **more}))
    return Prepared(CLICKS, partition_for(key, PARTITIONS), key, value, now)


@pytest.fixture
def running(
    tmp_path_factory: pytest.TempPathFactory, registry: WritableRegistry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("registry"))
    variables = {"URL": registry.url, "USER": USER, "PASSWORD": PASSWORD}
    running.stack.environ = {
        **running.stack.environ,
        **{f"FUNNEL_SCHEMA_REGISTRY_{name}": value for name, value in variables.items()},
    }
    try:
        running.start()
        running.stack.start_collector()
        running.stack.start_worker()
        yield running
    finally:
        running.stack.stop()


def query(running: Running, sql: str) -> list[tuple[Any, ...]]:
    connection = connect(clickhouse_settings(running.values))
    try:
        return connection.query(sql)
    finally:
        connection.close()


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.1)


def test_through_the_whole_stack(running: Running, registry: WritableRegistry) -> None:
    """The collector's events, a foreign producer's with another schema, one of another topic's schema, one of no schema; then the registry goes."""
    send_events(running)
    content, now = registry.content, time.time_ns() // 1_000_000
    number = content.add("clicks-value", evolved())
    other = content.find("impressions-value", latest_schema(IMPRESSIONS).parsed)
    assert other is not None
    schema, ours = evolved(), latest_schema(CLICKS).parsed
    known = content.find("clicks-value", ours)
    assert known is not None
    bootstrap = running.values["kafka"]
    records = [click(number, schema, place, now, site="shop") for place in range(3)]
    # The same event again, under our own schema: a duplicate, whatever it was written in.
    records += [click(known, ours, 0, now), click(4711, schema, 8, now), click(other, schema, 9, now)]
    send_prepared(bootstrap, records)
    drain(running.values)
    assert query(running, "SELECT detail FROM rejects WHERE reason = 'unknown_schema' ORDER BY detail") == [
        ("4711",),
        (str(other),),
    ]
    found = "SELECT visitor_id, sub4, consent FROM clicks WHERE campaign = 'evolved' ORDER BY visitor_id"
    assert query(running, found) == [(f"crm-{place}", "", "unknown") for place in range(3)]
    assert query(running, "SELECT sum(duplicates) FROM ledger") == [(1,)]
    waits_for_the_registry(running, registry, now)
    each_id_was_asked_for_once(running, registry)
    framed_under_given_ids(running)
    assert compare_now(running.values, Console(stderr=True), None).ok


def send_events(running: Running) -> None:
    url, token = running.stack.collector_url, running.values["tokens"][0]
    money = {"status": "approved", "value": "119.00", "currency": "EUR"}
    sale = {"partner": "shop", "transaction_id": "4711", "goal": "sale", **money}
    events = [
        {"kind": "click", "visitor_id": "customer-1", "campaign": "spring"},
        {"kind": "conversion", "visitor_id": "customer-1", **sale},
    ]
    with httpx.Client(base_url=url, trust_env=False) as client:
        answer = client.post("/events", json={"events": events}, headers={"Authorization": f"Bearer {token}"})
        assert answer.text.count('"accepted"') == len(events), answer.text


def waits_for_the_registry(running: Running, registry: WritableRegistry, now: int) -> None:
    """A registry that is away stops nothing but the waiting batch, and rejects nothing."""
    content = registry.content
    schema = {**evolved(), "doc": "newer"}
    number = content.add("clicks-value", schema)
    content.away = True
    asked = len(content.asked)
    send_prepared(running.values["kafka"], [click(number, schema, 20, now)])
    await_true(lambda: len(content.asked) > asked + 1)
    content.away = False
    drain(running.values)
    assert query(running, "SELECT count() FROM clicks WHERE visitor_id = 'crm-20'") == [(1,)]


def each_id_was_asked_for_once(running: Running, registry: WritableRegistry) -> None:
    asked = [line for line in registry.content.asked if line == f"GET /schemas/ids/{FIRST_ID}"]
    assert len(asked) <= 1
    assert registry.content.asked.count("GET /schemas/ids/4711") == 1


def framed_under_given_ids(running: Running) -> None:
    log = read_log(running.values["kafka"])
    for topic in (CLICKS, CREDIT_REQUESTS):
        ids = {
            schema_id_of(record.value)
            for line, span in log.lines.items()
            if line[0] == topic
            for record in span.records
        }
        assert ids
        assert all((number is not None and number >= FIRST_ID) or number == 4711 for number in ids)
