"""Rejects as an operator meets them: listed, shown, and sent again, through the real broker, worker and ClickHouse.

journal   reject (an earlier worker did not know the schema)          reject (bytes that are no event)
replay        ──▶ accepted, under its own event id                        ──▶ a reject again
replay        ──▶ nothing to send                                         ──▶ a reject again, never an event
"""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from deploy.settings import clickhouse_settings
from schemas.encoding import encode
from schemas.ids import mint, route_of
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.owners import write_owners
from tests.support import MakeBroker, Running, drain, funnel

SOURCE = "earlier/clicks/1"
TIME = 1_790_000_000_000
TOKEN = 7


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, make_broker: MakeBroker) -> Iterator[Running]:
    one = Running(tmp_path_factory.mktemp("rejects") / "stack", make_broker)
    try:
        one.start()
        one.stack.start_worker()
        yield one
    finally:
        one.stack.stop()


@pytest.fixture
def journal(running: Running) -> Iterator[Connection]:
    connection = connect(clickhouse_settings(running.values))
    yield connection
    connection.close()


def click_event(**values: Any) -> tuple[str, str, bytes]:
    """An event id, its route, and the framed click."""
    event_id, visitor = str(uuid.uuid4()), mint()
    record = {
        "event_id": event_id,
        "occurred_at": TIME,
        "received_at": TIME,
        "visitor_id": visitor,
        "click_id": mint(visitor[:4]),
        **values,
    }
    return event_id, route_of(visitor), encode("clicks", record)


def keep_reject(
    connection: Connection, offset: int, reason: str, event_id: str, key: str, value: bytes
) -> None:
    """A reject as a worker of long ago left it."""
    write_owners(connection, [SOURCE], TOKEN)
    number = uuid.UUID(event_id)
    connection.execute(
        "INSERT INTO journal (kind, _source, _offset, _record_time, _ingested_at, _owner, event_id, reason, raw_key, raw) "
        f"SELECT 'reject', '{SOURCE}', {offset}, fromUnixTimestamp64Milli({TIME}), fromUnixTimestamp64Milli({TIME}), {TOKEN}, "
        f"toUUID('{number}'), '{reason}', '{key}', unhex('{value.hex()}')"
    )


def test_what_passes_now_counts_once_however_often_it_is_sent(running: Running, journal: Connection) -> None:
    event_id, key, value = click_event(campaign="mended")
    for offset in (5, 6):
        keep_reject(journal, offset, "unknown_schema", event_id, key, value)
    dry = funnel(running, "rejects", "replay", "--reason", "unknown_schema", "--dry-run")
    assert dry.stdout == "would send 1; left 0 that were accepted since, 1 of the same content\n", dry.stderr
    for _ in range(2):
        done = funnel(running, "rejects", "replay", f"{SOURCE}/5")
        assert done.returncode == 0, done.stderr
        drain(running.values)
    assert done.stdout == "sent 0; left 1 that were accepted since, 0 of the same content\n"
    found = f"SELECT toUnixTimestamp64Milli(_record_time), campaign FROM journal WHERE kind = 'click' AND event_id = toUUID('{event_id}')"
    assert journal.query(found) == [(TIME, "mended")]


def test_what_is_still_wrong_is_a_reject_again(running: Running, journal: Connection) -> None:
    producer = Producer({"bootstrap.servers": running.values["kafka"]})
    producer.produce("leads", value=b"\x00no event", key=b"k\xff", partition=0, timestamp=TIME)
    assert producer.flush(30) == 0
    drain(running.values)
    [place] = re.findall(r"\S+/leads/0/\d+", funnel(running, "rejects", "list", "--topic", "leads").stdout)
    shown = funnel(running, "rejects", "show", place.split("/", 1)[1]).stdout
    assert "00 6e 6f 20 65 76 65 6e 74" in shown
    assert r"k\\xff" in shown or r"k\xff" in shown
    assert funnel(running, "rejects", "replay", place).stdout.startswith("sent 1;")
    drain(running.values)
    rows = journal.query(
        "SELECT hex(raw_key), hex(raw), toUnixTimestamp64Milli(record_time) FROM rejects WHERE source LIKE '%/leads/%'"
    )
    assert rows == [(b"k\xff".hex().upper(), b"\x00no event".hex().upper(), TIME)] * 2
    assert journal.query("SELECT count() FROM journal WHERE kind = 'lead'") == [(0,)]


def test_conflicts_are_shown_but_not_sent(running: Running, journal: Connection) -> None:
    event_id, key, value = click_event(campaign="second")
    keep_reject(journal, 9, "conflict", event_id, key, value)
    assert '"campaign": "second"' in funnel(running, "rejects", "show", "clicks/1/9").stdout
    done = funnel(running, "rejects", "replay", "--reason", "conflict")
    assert done.stdout == "sent 0; left 0 that were accepted since, 0 of the same content\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("replay",), "say which"),
        (("show", "clicks/0"), "is not [cluster/]topic/partition/offset"),
        (("show", "clicks/0/123456"), "no reject at clicks/0/123456"),
        (("list", "--topic", "shoes"), "'shoes' is not a topic"),
    ],
)
def test_what_cannot_be_meant_is_said(running: Running, arguments: tuple[str, ...], said: str) -> None:
    done = funnel(running, "rejects", *arguments)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
