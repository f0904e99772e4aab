"""Rejects as an operator handles them: look at what could not be processed, and send it again once the cause is mended.

A reject keeps the record's key, value and record time, so what is sent again is the same record: the same event id, the same journey,
the same time. If it passes now it counts once, however often it is sent; if not, it is a reject again.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import click

from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from schemas.topics import TOPICS
from sinks.clickhouse.client import Connection
from sinks.clickhouse.sql import literal, literals
from streams.broker import Hop, HopSender

CONFLICT = "conflict"
PAGE = 10_000
BY_KEY = -1
"""A partition number that leaves the choice to the key."""
_NO_ID = "00000000-0000-0000-0000-000000000000"
_HEX_SHOWN = 512
_EVENTS = ("impression", "click", "lead", "conversion", "postback")


class Reject(NamedTuple):
    """One reject. ``time`` is its record time in ms UTC; ``event_id`` is empty where it could not be read."""

    source: str
    offset: int
    time: int
    reason: str
    detail: str
    event_id: str
    key: bytes
    value: bytes

    @property
    def topic(self) -> str:
        """The topic that it was read from."""
        return self.source.rsplit("/", 2)[1]

    @property
    def place(self) -> str:
        """Cluster, topic, partition and offset, as `show` and `replay` take it."""
        return f"{self.source}/{self.offset}"


class Replayed(NamedTuple):
    """What a replay has done with the rejects it looked at."""

    sent: int
    accepted_since: int
    repeated: int


def condition(reason: str, topic: str, places: Sequence[str]) -> str:
    """Return the SQL condition on the view ``rejects``. Raises click.UsageError for a place or a topic that cannot be."""
    if topic and topic not in TOPICS:
        raise click.UsageError(f"{topic!r} is not a topic; known: {', '.join(TOPICS)}")
    parts = [f"reason = {literal(reason)}"] if reason else []
    if topic:
        parts.append(f"splitByChar('/', source)[-2] = {literal(topic)}")
    if places:
        parts.append(f"({' OR '.join(map(_at, places))})")
    return " AND ".join(parts) or "1"


def _at(place: str) -> str:
    source, _, offset = place.rpartition("/")
    if not offset.isdigit() or source.count("/") < 1 or not source.rpartition("/")[2].isdigit():
        raise click.UsageError(f"{place!r} is not [cluster/]topic/partition/offset")
    return f"(endsWith(concat('/', source), {literal('/' + source)}) AND offset = {offset})"


def read(
    connection: Connection,
    where: str,
    after: tuple[str, int] | None = None,
    order: str = "source, offset",
    limit: int = PAGE,
) -> list[Reject]:
    """Return rejects that meet ``where``, in order of source and offset unless said otherwise; those behind ``after``, at most ``limit``."""
    behind = f" AND (source, offset) > ({literal(after[0])}, {after[1]})" if after else ""
    rows = connection.query(
        "SELECT toString(source), offset, toUnixTimestamp64Milli(record_time), toString(reason), detail, toString(event_id), "
        f"hex(raw_key), hex(raw) FROM rejects WHERE {where}{behind} ORDER BY {order} LIMIT {limit}"
    )
    return [
        Reject(
            source,
            offset,
            time,
            reason,
            detail,
            "" if event == _NO_ID else event,
            bytes.fromhex(key),
            bytes.fromhex(value),
        )
        for source, offset, time, reason, detail, event, key, value in rows
    ]


def pages(connection: Connection, where: str) -> Iterator[list[Reject]]:
    """Yield all rejects that meet ``where``, a page at a time."""
    after: tuple[str, int] | None = None
    while page := read(connection, where, after):
        yield page
        after = page[-1].source, page[-1].offset


def accepted(connection: Connection, rejects: Sequence[Reject]) -> set[str]:
    """Return those event ids of ``rejects`` that are in the journal as events."""
    ids = {reject.event_id for reject in rejects if reject.event_id}
    if not ids:
        return set()
    rows = connection.query(
        f"SELECT DISTINCT toString(event_id) FROM journal WHERE kind IN {literals(_EVENTS)} AND event_id IN {literals(sorted(ids))}"
    )
    return {event for (event,) in rows}


def replay(connection: Connection, bootstrap: str, where: str, dry: bool) -> Replayed:
    """Send the rejects that meet ``where`` to their topics again, each content once, and not what has been accepted since.

    Conflicts stay where they are: what came first under their id has won. Raises HopError, KafkaAway; may then be repeated.
    """
    seen: set[bytes] = set()
    sent = since = repeated = 0
    sender = None if dry else HopSender(bootstrap)
    for page in pages(connection, f"({where}) AND reason != {literal(CONFLICT)}"):
        known = accepted(connection, page)
        hops: list[Hop] = []
        for reject in page:
            content = sha256(b"\0".join((reject.topic.encode(), reject.key, reject.value))).digest()
            if reject.event_id in known:
                since += 1
            elif content in seen:
                repeated += 1
            else:
                seen.add(content)
                hops.append(Hop(reject.topic, BY_KEY, reject.key, reject.value, reject.time))
        if sender is not None:
            sender.send(hops)
        sent += len(hops)
    return Replayed(sent, since, repeated)


def describe(reject: Reject) -> str:
    """Return everything that is known of a reject: where it was, why, and its content, decoded where that is possible."""
    lines = {
        "place": reject.place,
        "record time": when(reject.time),
        "reason": reject.reason,
        "detail": reject.detail,
        "event id": reject.event_id,
        "key": ascii(reject.key.decode(errors="backslashreplace"))[1:-1],
    }
    text = "\n".join(f"{name + ':':<13}{value}" for name, value in lines.items() if value)
    schema_id = schema_id_of(reject.value)
    try:
        content = decode_body(schema_id, reject.value) if schema_id is not None else None
    except Exception:
        # Whatever a decoder makes of bytes that were refused: they are shown as they are then.
        content = None
    if content is not None:
        return f"{text}\n{f'schema {schema_id}:':<13}{json.dumps(content, default=str)}"
    shown = reject.value[:_HEX_SHOWN].hex(" ")
    more = f" … ({len(reject.value)} bytes)" if len(reject.value) > _HEX_SHOWN else ""
    return f"{text}\n{'bytes:':<13}{shown}{more}"


def when(time: int) -> str:
    """Return ms UTC as ISO 8601."""
    return datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")
