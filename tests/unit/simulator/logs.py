"""Small logs for the oracle's tests."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from schemas.encoding import encode
from schemas.ids import hashed_route
from schemas.partitioning import partition_for
from schemas.topics import TOPIC_OF_KIND, TOPICS
from simulator.blank import blank
from simulator.items import key_of
from simulator.log import Log, Record, Span

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 1_760_011_200_000  # 2025-10-09T12:00:00Z
Sent = tuple[str, int, Mapping[str, Any]]
"""Kind, record time, record."""


def event_id(name: str) -> str:
    """Return an event id that a test can name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def event(kind: str, name: str, at: int, **fields: Any) -> Sent:
    """Return an event that occurred at ``at`` and reached Kafka in the same millisecond, unless ``time`` says otherwise."""
    time = fields.pop("time", at)
    record = {**blank(kind), "event_id": event_id(name), "occurred_at": at, "received_at": time}
    if kind == "conversion":
        record |= {
            "partner": "p",
            "transaction_id": "t",
            "status": "approved",
            "status_at": at,
            "currency": "EUR",
        }
    return kind, time, record | fields


def log_of(sent: Sequence[Sent], partitions: int = 1, cluster_id: str = "c") -> Log:
    """Return the log that holds ``sent`` in that order, each event in its partition."""
    lines: dict[tuple[str, int], list[Record]] = {
        (topic, number): [] for topic in TOPICS for number in range(partitions)
    }
    for kind, time, record in sent:
        key = key_of(kind, record)
        line = lines[TOPIC_OF_KIND[kind], partition_for(key, partitions)]
        line.append(Record(len(line), time, key, encode(TOPIC_OF_KIND[kind], record)))
    return Log(
        cluster_id, partitions, {line: Span(0, len(records), records) for line, records in lines.items()}
    )


def other_visitor(route: str) -> str:
    """Return a foreign visitor id whose route is not ``route``."""
    return next(name for name in map("visitor-{}".format, range(10)) if hashed_route(name) != route)
