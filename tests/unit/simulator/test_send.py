"""Sending through the collector: everything is acknowledged in the end, whatever happens on the way."""

import asyncio
from collections import Counter

import httpx
import pytest

from collector.partners import Partner
from collector.producer import MemoryProducer
from simulator.catalog import PARTNERS
from simulator.generate import generate
from simulator.items import Item
from simulator.mess import Mess
from simulator.requests import POSTBACK_FIELDS, batch_entry, hit, signature
from simulator.send import CollectorTarget, NotAcknowledged, Sent, send_to_collector
from tests.unit.collector.support import LINK_KEY, NOW, TOKEN, Collector, decode

EVENTS = 1200


class Flaky(httpx.AsyncBaseTransport):
    """A network that loses every fifth answer, after the collector has done its work, and every seventh request."""

    def __init__(self, collector: Collector) -> None:
        self.inner = httpx.ASGITransport(collector.app, client=("198.51.100.77", 4711))  # type: ignore[arg-type]
        self.paths: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.paths[request.url.path] += 1
        count = self.paths.total()
        if count % 7 == 0:
            raise httpx.ConnectError("refused")
        response = await self.inner.handle_async_request(request)
        if count % 5 == 0:
            raise httpx.ReadTimeout("no answer")
        return response


def made() -> list[Item]:
    return list(generate(3, EVENTS, NOW, Mess(), run="run"))


SECRETS = dict.fromkeys(set(PARTNERS), "sixteen-characters")
FIELDS = {name: f"{{{name}}}" for name in POSTBACK_FIELDS}


def collector_with_partners() -> Collector:
    return Collector(
        partners={name: Partner(name, FIELDS, secrets=(secret,)) for name, secret in SECRETS.items()}
    )


def sent_through(collector: Collector, transport: httpx.AsyncBaseTransport, **settings: float) -> Sent:
    target = CollectorTarget(
        "http://collector",
        TOKEN,
        LINK_KEY,
        SECRETS,
        lambda: NOW / 1000,
        batch=40,
        hit_every=5,
        **settings,  # type: ignore[arg-type]
    )
    return asyncio.run(send_to_collector(made(), target, None, transport=transport))


def test_everything_is_acknowledged_and_nothing_refused() -> None:
    collector = collector_with_partners()
    network = Flaky(collector)
    sent = sent_through(collector, network)
    arrived = Counter(
        content["event_id"] for record, content in collector.sent if record.topic != "postbacks"
    )
    named = {item.record["event_id"].lower(): item.kind for item in made() if item.direct is None}
    by_postback = {event_id for event_id in arrived if event_id.lower() not in named}
    assert len(by_postback) > 1
    assert Counter(sent.acknowledged.values()) == Counter(named.values())
    assert sent.acknowledged.keys() == {event_id.lower() for event_id in arrived}
    assert sent.refused == []
    assert sent.retries > 0
    assert network.paths["/i.gif"] > 10
    assert network.paths["/c"] > 10
    assert network.paths["/postback"] >= len(by_postback)
    assert max(arrived.values()) > 1, "a lost answer means sending again, under the same id"


def test_events_arrive_as_they_were_generated() -> None:
    """But for what the collector adds; hits have the time of their request."""
    collector = Collector()
    target = CollectorTarget("http://collector", TOKEN, hit_every=0)
    network = httpx.ASGITransport(collector.app)  # type: ignore[arg-type]
    asyncio.run(send_to_collector(made(), target, None, transport=network))
    arrived = {decode(record)["event_id"]: decode(record) for record in collector.producer.records}
    for item in made():
        if item.direct is None and not item.has_twin:
            ignored = {"received_at": NOW, "event_id": item.record["event_id"]}
            assert {**arrived[item.record["event_id"]], **ignored} == {**item.record, **ignored}


def test_time_is_up() -> None:
    collector = Collector(producer=MemoryProducer(away=True))
    with pytest.raises(NotAcknowledged) as raised:
        sent_through(collector, httpx.ASGITransport(collector.app), patience_seconds=0.2)  # type: ignore[arg-type]
    assert raised.value.events > 0
    assert "503" in raised.value.last


def test_a_wrong_token_is_a_refusal_and_not_tried_again() -> None:
    collector = Collector()
    target = CollectorTarget("http://collector", "wrong", hit_every=0)
    network = httpx.ASGITransport(collector.app)  # type: ignore[arg-type]
    sent = asyncio.run(send_to_collector(made(), target, None, transport=network))
    assert sent.acknowledged == {}
    assert sent.refusals > 0
    assert sent.retries == 0


def test_what_must_equal_another_item_is_no_hit() -> None:
    for item in made():
        request = hit(item, LINK_KEY)
        if request is not None:
            assert item.mess == "" and not item.has_twin
            assert item.kind in ("impression", "click")


def test_money_goes_in_micros_and_nothing_empty_is_sent() -> None:
    entries = [batch_entry(item) for item in made() if item.kind == "conversion" and item.record]
    assert all("" not in entry.values() and None not in entry.values() for entry in entries)
    assert any(isinstance(entry.get("value_micros"), int) for entry in entries)


def test_signature_is_url_safe() -> None:
    assert signature("https://shop.example/", "key") == signature("https://shop.example/", "key")
    assert set(signature("https://shop.example/?a=b", "key")) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    )
