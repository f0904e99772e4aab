"""Items of traffic, and the Kafka records they are when they go there directly."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from schemas.encoding import encode
from schemas.ids import route_of, transaction_route
from schemas.partitioning import partition_for
from schemas.topics import TOPIC_OF_KIND


class Direct(NamedTuple):
    """Key and value of a record that no collector would let through or produce."""

    key: bytes | None
    value: bytes | None


class Item(NamedTuple):
    """One event. ``record`` has all fields under their Avro names (times ms UTC, money micros); empty where ``direct`` says it all.

    ``time`` is the record time if it is sent to Kafka directly, and its ``received_at``. ``mess`` names what is wrong with it, empty if
    nothing. ``has_twin``: another item has the same identity.
    """

    kind: str
    record: Mapping[str, Any]
    time: int
    mess: str = ""
    has_twin: bool = False
    direct: Direct | None = None


class Prepared(NamedTuple):
    """A Kafka record with its destination; ``timestamp`` in ms UTC."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp: int


def key_of(kind: str, record: Mapping[str, Any]) -> bytes:
    """Return the key of an event: its transaction's route if it is a conversion, else its visitor's."""
    if kind == "conversion":
        return transaction_route(record["partner"], record["transaction_id"]).encode()
    return route_of(record["visitor_id"]).encode()


_partition = lru_cache(maxsize=65_536)(partition_for)


def prepared(item: Item, partitions: int) -> Prepared:
    """Return the Kafka record of ``item`` in topics of ``partitions`` partitions; without a key, any of them."""
    topic = TOPIC_OF_KIND[item.kind]
    if item.direct is None:
        key: bytes | None = key_of(item.kind, item.record)
        value: bytes | None = encode(topic, item.record)
    else:
        key, value = item.direct
    partition = item.time % partitions if key is None else _partition(key, partitions)
    return Prepared(topic, partition, key, value, item.time)
