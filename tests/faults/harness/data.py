"""Records that nobody should send, or that nobody has sent so far. They come at once when the fault begins; there is nothing to heal."""

import io
import random
import time
from collections.abc import Iterator

import fastavro

from schemas.encoding import encode
from schemas.framing import frame
from schemas.topics import CLICKS, EVENT_TOPICS, TOPIC_OF_KIND
from simulator.generate import generate
from simulator.items import Item, Prepared, prepared
from simulator.kafka import send_prepared
from simulator.mess import Mess
from tests.faults.harness.world import World
from tests.support import PARTITIONS

RECORDS = 200
NOBODYS_ID = 999_999


class _Records:
    """Sends what ``make`` yields straight into Kafka."""

    def begin(self, world: World, share: float) -> None:
        chance = random.Random(share)
        send_prepared(world.values["kafka"], list(self.make(world, chance)))

    def heal(self, world: World) -> None:
        pass

    def make(self, world: World, chance: random.Random) -> Iterator[Prepared]:
        raise NotImplementedError


def _items(chance: random.Random, count: int = RECORDS) -> list[Item]:
    return list(generate(chance.randrange(1 << 30), count, int(time.time() * 1000), Mess.none()))


class Poison(_Records):
    """Bytes that mean nothing, among them none at all."""

    def make(self, world: World, chance: random.Random) -> Iterator[Prepared]:
        for _ in range(RECORDS):
            topic, partition = chance.choice(EVENT_TOPICS), chance.randrange(PARTITIONS)
            value = chance.choice([None, b"", chance.randbytes(chance.randrange(1, 400))])
            yield Prepared(topic, partition, chance.randbytes(4), value, int(time.time() * 1000))


class Truncated(_Records):
    """Events that end too early."""

    def make(self, world: World, chance: random.Random) -> Iterator[Prepared]:
        for item in _items(chance):
            whole = prepared(item, PARTITIONS)
            assert whole.value is not None
            yield whole._replace(value=whole.value[: chance.randrange(1, len(whole.value))])


class UnknownSchema(_Records):
    """Events under a schema id that nobody has registered."""

    def make(self, world: World, chance: random.Random) -> Iterator[Prepared]:
        for item in _items(chance):
            body = encode(TOPIC_OF_KIND[item.kind], item.record)[5:]
            yield prepared(item, PARTITIONS)._replace(value=frame(NOBODYS_ID, body))


class Renewed(_Records):
    """A writer goes on with a newer, compatible schema that it has registered just now; events of the older one come between."""

    def make(self, world: World, chance: random.Random) -> Iterator[Prepared]:
        field = f"extra_{chance.randrange(1 << 30)}"
        number, schema = world.contracts.renew(CLICKS, field)
        parsed = fastavro.parse_schema(schema)
        for place, item in enumerate(_items(chance)):
            record = prepared(item, PARTITIONS)
            if item.kind == "click" and place % 3:
                body = io.BytesIO()
                fastavro.schemaless_writer(body, parsed, {**item.record, field: "new"})
                record = record._replace(value=frame(number, body.getvalue()))
            yield record


class HotKey(_Records):
    """As many events again as a slice has, all of one visitor, so of one partition."""

    def make(self, world: World, chance: random.Random) -> Iterator[Prepared]:
        clicks = [item for item in _items(chance, 10 * RECORDS) if item.kind == "click"]
        visitor = clicks[0].record["visitor_id"]
        for item in clicks:
            record = {**item.record, "visitor_id": visitor}
            yield prepared(item._replace(record=record), PARTITIONS)
