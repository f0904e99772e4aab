"""A producer of somebody else's: Confluent's client and AvroSerializer, as their documentation has them.

It runs in an environment of its own (requirements.lock) and knows a broker, a registry and schemas, nothing of whom it sends to.

stdin   {"bootstrap": …, "registry": …, "serializer": {…}, "schemas": {topic: Avro schema}, "events": [{"topic", "key", "record"}, …]}
stdout  one receipt per event, in their order: [{"partition", "offset", "schema_id"}, …]
"""

import json
import sys
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

SECONDS = 60.0

Receipts = dict[int, dict[str, int | None]]


def send(job: dict[str, Any]) -> Receipts:
    """Send the events of ``job``; return the receipt of each, by its place. Raises KafkaException, SchemaRegistryError."""
    client = SchemaRegistryClient({"url": job["registry"]})
    serializers = {
        topic: AvroSerializer(client, schema, conf=job["serializer"])
        for topic, schema in job["schemas"].items()
    }
    producer = Producer({"bootstrap.servers": job["bootstrap"]})
    receipts: Receipts = {}
    for place, event in enumerate(job["events"]):
        topic = event["topic"]
        value = serializers[topic](event["record"], SerializationContext(topic, MessageField.VALUE))
        producer.produce(
            topic, key=event["key"], value=value, on_delivery=partial(delivered, receipts, place)
        )
        producer.poll(0)
    producer.flush(SECONDS)
    return receipts


def delivered(receipts: Receipts, place: int, error: KafkaError | None, message: Message) -> None:
    """Note what the broker acknowledged."""
    if error is not None:
        raise KafkaException(error)
    framed = message.value() or b""
    schema_id = int.from_bytes(framed[1:5], "big")
    receipts[place] = {"partition": message.partition(), "offset": message.offset(), "schema_id": schema_id}


if __name__ == "__main__":
    job = json.load(sys.stdin)
    receipts = send(job)
    if len(receipts) != len(job["events"]):
        sys.exit(f"{len(job['events']) - len(receipts)} events are not acknowledged after {SECONDS:.0f} s")
    json.dump([receipts[place] for place in sorted(receipts)], sys.stdout)
