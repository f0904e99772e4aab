"""Prepared records for benchmarks: made once, sent as fast as the broker takes them."""

from collections.abc import Iterator
from itertools import islice

from schemas.topics import EVENT_TOPICS
from simulator.generate import generate
from simulator.items import Prepared, prepared
from simulator.journeys import DAY_MS
from simulator.mess import Mess

BENCHMARK_MESS = Mess(malformed=0.0005, misrouted=0.0)


def records(
    events: int,
    partitions: int,
    now_ms: int,
    *,
    seed: int = 1,
    mess: Mess = BENCHMARK_MESS,
    run: str | None = None,
    span_ms: int = 3 * DAY_MS,
) -> Iterator[Prepared]:
    """Yield ``events`` Kafka records for topics of ``partitions`` partitions, in order of arrival.

    About 324 bytes on average; 70 % impressions, 22 % clicks, 5 % leads, 3 % conversions; 5 % duplicates. Events alone: hops that lie in
    their topic before a worker starts would stand in front of the worker's own. ``simulator.kafka.send_prepared`` sends them.
    """
    margin = 1 + round(mess.malformed * events)
    made = (
        prepared(item, partitions)
        for item in generate(seed, events + margin, now_ms, mess, run=run, span_ms=span_ms)
    )
    yield from islice((record for record in made if record.topic in EVENT_TOPICS), events)
