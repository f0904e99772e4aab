"""An unmodified third-party producer must get through: what sends and what reads back is not ours.

Confluent's AvroSerializer ─▶ Kafka, by librdkafka's own partitioner ─┐
curl ──────────────────────▶ collector ─▶ Kafka ─────────────────────┴─▶ worker ─▶ ClickHouse ─▶ clickhouse_driver
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from clickhouse_driver import Client

from collector.links import sign
from deploy.secrets import embedded_secrets
from schemas.registry import latest_schema
from schemas.topics import CLICKS, CONVERSIONS, EVENT_TOPICS, IMPRESSIONS, LEADS
from tests.integration.curl import Answer, Curl, required_curl
from tests.integration.schema_registry import SCHEMA_NOT_FOUND, Registry, serve_registry
from tests.integration.third_party_events import (
    PAYOUT,
    VALUE,
    Row,
    after_cluster,
    as_read,
    credit,
    home,
    journey,
    place,
    sale,
)
from tests.integration.third_party_python import third_party_python
from tests.integration.third_party_sender import Event, Receipt, RefusedError, Sender, published_schemas
from tests.support import Running, drain

VISITORS = 40
PIXELS = 3
TARGET = "https://shop.example/p?sku=7"
VIEW_OF = {
    IMPRESSIONS: "impressions",
    CLICKS: "clicks",
    LEADS: "leads",
    CONVERSIONS: "conversion_events",
}
MODELS = ("first_click", "last_click")


class Journeys(NamedTuple):
    """What the producer sent, with a receipt for each event."""

    events: list[Event]
    receipts: list[Receipt]

    def records(self, topic: str) -> list[dict[str, Any]]:
        return [event.record for event in self.events if event.topic == topic]


class Browser(NamedTuple):
    """What curl was answered, and the producer's conversion that names the id curl's click got."""

    pixels: list[Answer]
    click: Answer
    sale: dict[str, Any]


def milliseconds() -> int:
    return time.time_ns() // 1_000_000


def rows(client: Client, names: Sequence[str], source: str) -> list[Row]:
    """Return the columns ``names`` of what follows FROM."""
    found = client.execute(f"SELECT {', '.join(names)} FROM {source}")
    return [dict(zip(names, row, strict=True)) for row in found]


def ordered(found: Sequence[Row], name: str = "event_id") -> list[Row]:
    return sorted(found, key=lambda row: str(row[name]))


def counts(client: Client) -> dict[str, int]:
    """Return how many events of each topic there are."""
    return {topic: client.execute(f"SELECT count() FROM {view}")[0][0] for topic, view in VIEW_OF.items()}


@pytest.fixture(scope="session")
def python() -> Path:
    return third_party_python()


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with serve_registry() as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A whole stack: broker, ClickHouse, collector, worker."""
    one = Running(tmp_path_factory.mktemp("third-party") / "stack")
    try:
        one.start()
        one.stack.start_collector()
        one.stack.start_worker()
        yield one
    finally:
        one.stack.stop()


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[Client]:
    names = ("host", "port", "user", "password", "database")
    one = Client(**{name: running.values[f"clickhouse_{name}"] for name in names})
    yield one
    one.disconnect()


@pytest.fixture(scope="module")
def sender(python: Path, running: Running, registry: Registry) -> Sender:
    return Sender(python, running.values["kafka"], registry.url)


@pytest.fixture(scope="module")
def journeys(running: Running, sender: Sender) -> Journeys:
    """All journeys, in ClickHouse."""
    now = milliseconds()
    events = [event for number in range(VISITORS) for event in journey(number, now)]
    receipts = sender.send(events)
    drain(running.values)
    return Journeys(events, receipts)


@pytest.fixture(scope="module")
def browser(running: Running, sender: Sender, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """curl's pixels and click, and the conversion that came of it, in ClickHouse."""
    curl = Curl(required_curl(), tmp_path_factory.mktemp("curl") / "jar")
    url, page = running.stack.collector_url, "https://shop.example/?utm_source=google"
    pixels = [curl.get(f"{url}/i.gif", campaign=f"pixel-{number}", url=page) for number in range(PIXELS)]
    signature = sign(TARGET, embedded_secrets(running.stack.directory)["link_key"])
    click = curl.get(f"{url}/c", to=TARGET, sig=signature, campaign="redirect", affiliate="a17")
    now = milliseconds()
    times = {"occurred_at": now, "received_at": now}
    named = {"event_id": str(uuid4()), "click_id": click_id(click), "campaign": "checkout"}
    record = {**named, **times, **sale("T-curl", now)}
    sender.send([Event(CONVERSIONS, "T-curl", record)])
    drain(running.values)
    return Browser(pixels, click, record)


def click_id(answer: Answer) -> str:
    """Return the id that the collector put into the link it redirects to."""
    [found] = parse_qs(urlsplit(answer.headers["location"]).query)["funnel_click"]
    return found


def event_id(answer: Answer) -> UUID:
    return UUID(answer.headers["x-funnel-event-id"])


class TestConfluent:
    @pytest.mark.parametrize("topic", EVENT_TOPICS)
    def test_every_event_is_there_once_as_it_was_sent(
        self, journeys: Journeys, client: Client, topic: str
    ) -> None:
        sent = [as_read(record) for record in journeys.records(topic)]
        assert len(sent) == VISITORS
        found = rows(client, list(sent[0]), f"{VIEW_OF[topic]} WHERE campaign LIKE 'spring-%'")
        assert ordered(found) == ordered(sent)

    @pytest.mark.parametrize("topic", EVENT_TOPICS)
    def test_values_carry_the_checked_in_schema_ids(
        self, journeys: Journeys, registry: Registry, topic: str
    ) -> None:
        pairs = zip(journeys.events, journeys.receipts, strict=True)
        found = {receipt.schema_id for event, receipt in pairs if event.topic == topic}
        assert found == {latest_schema(topic).id}
        assert f"POST /subjects/{topic}-value/versions" in registry.asked

    def test_what_lay_in_a_foreign_partition_was_forwarded(self, journeys: Journeys, client: Client) -> None:
        """librdkafka chooses a partition by CRC-32 of the sender's key, the pipeline by murmur2 of the route."""
        pairs = list(zip(journeys.events, journeys.receipts, strict=True))
        where = {place(event, receipt): UUID(event.record["event_id"]) for event, receipt in pairs}
        foreign = [place(event, receipt) for event, receipt in pairs if receipt.partition != home(event)]
        found = client.execute("SELECT _source, _offset, event_id FROM journal WHERE kind = 'forward'")
        places = [((after_cluster(source), offset), name) for source, offset, name in found]
        assert sorted(row for row in places if row[0] in where) == sorted((at, where[at]) for at in foreign)
        assert {at.partition("/")[0] for at, _ in foreign} == set(EVENT_TOPICS)
        assert len(foreign) < len(pairs)

    def test_every_transaction_counts_once(self, journeys: Journeys, client: Client) -> None:
        names = ("transaction_id", "partner", "status", "value", "payout", "currency", "click_id")
        sent = [{name: record[name] for name in names} for record in journeys.records(CONVERSIONS)]
        found = rows(client, names, "conversions WHERE campaign LIKE 'spring-%'")
        assert ordered(found, "transaction_id") == ordered(sent, "transaction_id")

    @pytest.mark.parametrize("model", MODELS)
    def test_a_conversion_is_credited_to_its_click(
        self, journeys: Journeys, client: Client, model: str
    ) -> None:
        clicks = {record["click_id"]: record for record in journeys.records(CLICKS)}
        expected = [
            credit(record["transaction_id"], clicks[record["click_id"]], PAYOUT)
            for record in journeys.records(CONVERSIONS)
        ]
        found = rows(
            client, list(expected[0]), f"credits WHERE model = '{model}' AND campaign LIKE 'spring-%'"
        )
        assert ordered(found, "transaction_id") == ordered(expected, "transaction_id")

    def test_the_minute_rollup_has_them(self, journeys: Journeys, client: Client) -> None:
        measures = "sum(impressions), sum(clicks), sum(leads), sum(conversions_approved), sum(revenue)"
        [found] = client.execute(f"SELECT {measures} FROM funnel_minute WHERE campaign LIKE 'spring-%'")
        assert found == (VISITORS, VISITORS, VISITORS, VISITORS, VISITORS * VALUE)


class TestCurl:
    def test_pixel_hits_are_there_once(self, browser: Browser, client: Client) -> None:
        assert [answer.status for answer in browser.pixels] == [200] * PIXELS
        assert {answer.headers["content-type"] for answer in browser.pixels} == {"image/gif"}
        expected = [
            {"event_id": event_id(answer), "campaign": f"pixel-{number}", "utm_source": "google"}
            for number, answer in enumerate(browser.pixels)
        ]
        found = rows(client, list(expected[0]), "impressions WHERE campaign LIKE 'pixel-%'")
        assert ordered(found) == ordered(expected)

    def test_the_click_is_there_once(self, browser: Browser, client: Client) -> None:
        assert browser.click.status == 302
        assert browser.click.headers["location"].startswith(TARGET)
        expected = {
            "event_id": event_id(browser.click),
            "click_id": click_id(browser.click),
            "affiliate": "a17",
        }
        assert rows(client, list(expected), "clicks WHERE campaign = 'redirect'") == [expected]

    def test_pixels_and_click_are_one_visitor(self, browser: Browser, client: Client) -> None:
        """curl kept the cookie."""
        pixels = rows(client, ["visitor_id"], "impressions WHERE campaign LIKE 'pixel-%'")
        [click] = rows(client, ["visitor_id"], "clicks WHERE campaign = 'redirect'")
        assert click["visitor_id"]
        assert pixels == [click] * PIXELS

    def test_the_conversion_that_names_the_click_is_there_once(
        self, browser: Browser, client: Client
    ) -> None:
        sent = as_read({**browser.sale, "payout": None})
        assert rows(client, list(sent), "conversion_events WHERE campaign = 'checkout'") == [sent]

    @pytest.mark.parametrize("model", MODELS)
    def test_and_is_credited_to_it(self, browser: Browser, client: Client, model: str) -> None:
        click = {"event_id": str(event_id(browser.click)), "campaign": "redirect"}
        expected = credit("T-curl", click, 0)
        found = rows(client, list(expected), f"credits WHERE model = '{model}' AND transaction_id = 'T-curl'")
        assert found == [expected]


@pytest.mark.usefixtures("journeys")
class TestBoth:
    """What holds of everything that came in."""

    @pytest.mark.usefixtures("browser")
    def test_nothing_else_is_there(self, client: Client) -> None:
        more = {IMPRESSIONS: PIXELS, CLICKS: 1, LEADS: 0, CONVERSIONS: 1}
        assert counts(client) == {topic: VISITORS + number for topic, number in more.items()}

    def test_nothing_was_rejected(self, client: Client) -> None:
        assert client.execute("SELECT reason, detail FROM rejects") == []

    def test_the_ledger_balances(self, client: Client) -> None:
        wrong = "imbalance != 0 OR gap != 0 OR overlap != 0"
        assert client.execute(f"SELECT * FROM ledger WHERE {wrong}") == []


class TestRegistry:
    """So what got through has our ids because the registry gave them."""

    def test_another_schema_is_refused(self, sender: Sender) -> None:
        schemas = published_schemas()
        schemas[CLICKS] = schemas[CLICKS].replace('"click_id"', '"clickid"')
        [event] = [event for event in journey(0, milliseconds()) if event.topic == CLICKS]
        with pytest.raises(RefusedError, match=str(SCHEMA_NOT_FOUND)):
            sender.send([event], schemas)

    def test_a_schema_that_is_there_is_only_looked_up(
        self, running: Running, registry: Registry, sender: Sender, journeys: Journeys, client: Client
    ) -> None:
        """All is sent again under the same event ids: duplicates, which change no number."""
        asked, before = len(registry.asked), counts(client)
        receipts = sender.send(journeys.events, serializer={"auto.register.schemas": False})
        drain(running.values)
        first, again = ([receipt.schema_id for receipt in some] for some in (journeys.receipts, receipts))
        assert again == first
        posts = [line for line in registry.asked[asked:] if line.startswith("POST")]
        assert sorted(posts) == sorted(f"POST /subjects/{topic}-value" for topic in EVENT_TOPICS)
        assert counts(client) == before
        assert client.execute("SELECT sum(duplicates) FROM ledger") == [(len(journeys.events),)]
