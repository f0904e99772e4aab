"""Events on their way out: which topic, which key, which bytes."""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from collector.encoding import Encoder, make_encoder
from collector.producer import SentRecord
from schemas.ids import route_of, transaction_route
from schemas.topics import TOPIC_OF_KIND


class Event(NamedTuple):
    """One valid event; ``record`` has the fields of its Avro schema, those with a default may be left out."""

    kind: str
    record: Mapping[str, Any]

    @property
    def event_id(self) -> str:
        """The event's UUID."""
        return str(self.record["event_id"])


def route(event: Event) -> str:
    """Return the route that is the event's key: its transaction's for a conversion or a postback's row, what a link names, else its visitor's."""
    record = event.record
    if event.kind in ("conversion", "postback"):
        return transaction_route(record["partner"], record["transaction_id"])
    if event.kind == "link":
        return str(record["route"])
    return route_of(record["visitor_id"])


def to_record(event: Event, topic_prefix: str) -> SentRecord:
    """Return the Kafka record of ``event``; its record time is the time it was received."""
    record = event.record
    if event.kind == "link":
        # Its schema is that of hops, which are received from nobody.
        record = {name: value for name, value in record.items() if name != "received_at"}
    value = _encoder(event.kind)(record)
    topic = topic_prefix + TOPIC_OF_KIND[event.kind]
    return SentRecord(topic, route(event).encode(), value, event.record["received_at"])


@cache
def _encoder(kind: str) -> Encoder:
    return make_encoder(TOPIC_OF_KIND[kind])
