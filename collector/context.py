"""What every endpoint works with, made once."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_network

from prometheus_client import Counter

from collector.errors import Refusal
from collector.events import Event, to_record
from collector.minting import Minter
from collector.names import own_parameters
from collector.privacy import Privacy
from collector.producer import Producer
from collector.rates import Rates
from collector.request import Header, Network
from collector.settings import CollectorSettings
from schemas.metrics import CollectorMetrics
from schemas.timings import Timing
from schemas.topics import EVENT_TOPICS, KIND_OF_TOPIC, LINKS


@dataclass(frozen=True, slots=True)
class Context:
    """Settings and what follows from them, the producer, the metrics, and the clock (``now``: ms UTC).

    ``accepted`` has the counter of each kind: looking a label up takes longer than counting.
    """

    settings: CollectorSettings
    producer: Producer
    metrics: CollectorMetrics
    now: Callable[[], int]
    trusted_proxies: tuple[Network, ...]
    token_digests: tuple[bytes, ...]
    minter: Minter
    privacy: Privacy
    address_rates: Rates
    key_rates: Rates
    accepted: Mapping[str, Counter]
    produce_seconds: Timing


def make_context(
    settings: CollectorSettings, producer: Producer, metrics: CollectorMetrics, now: Callable[[], int]
) -> Context:
    """Return the context of an application. Raises ValueError where a trusted proxy is no network."""
    trusted = tuple(ip_network(network, strict=False) for network in settings.trusted_proxies)
    digests = tuple(sha256(token.encode()).digest() for token in settings.tokens if token)
    accepted = {
        kind: metrics.accepted.labels(kind) for kind in map(KIND_OF_TOPIC.__getitem__, (*EVENT_TOPICS, LINKS))
    }
    privacy = Privacy(
        settings.email_key, settings.phone_region, own_parameters() | frozenset(settings.query_parameters)
    )
    return Context(
        settings,
        producer,
        metrics,
        now,
        trusted,
        digests,
        Minter(),
        privacy,
        Rates(settings.rate_per_address),
        Rates(settings.rate_per_key),
        accepted,
        metrics.produce_seconds.labels(),
    )


def check_rate(rates: Rates, key: str) -> None:
    """Count a request of ``key``. Raises Refusal (429) with the seconds to wait where it is too many."""
    wait = rates.wait(key, time.monotonic())
    if wait:
        retry_after: Header = (b"retry-after", str(math.ceil(wait)).encode())
        raise Refusal(429, "rate", "is higher than this collector takes from you", "rate", (retry_after,))


async def deliver(context: Context, event: Event) -> None:
    """Return once the event is kept. Raises Unavailable."""
    started = time.perf_counter()
    await context.producer.send(to_record(event, context.settings.topic_prefix))
    context.produce_seconds.observe(time.perf_counter() - started)
    context.accepted[event.kind].inc()


async def deliver_postback(context: Context, event: Event | None, row: Event) -> None:
    """Return once the broker has the row that says what became of a postback, and the event, if one was made of it. Raises Unavailable."""
    started = time.perf_counter()
    records = [to_record(one, context.settings.topic_prefix) for one in (event, row) if one is not None]
    await asyncio.gather(*[context.producer.send(record) for record in records])
    context.produce_seconds.observe(time.perf_counter() - started)
    if event is not None:
        context.accepted[event.kind].inc()
    context.metrics.postbacks.labels(row.record["verdict"], row.record.get("reason", "")).inc()
