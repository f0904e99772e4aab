"""What keeps the collector standing: rates, slow and swollen bodies, quiet logs, honest counts."""

import asyncio
import gzip
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.producer import MemoryProducer, SentRecord
from collector.quiet import Sampled
from collector.rates import Rates
from schemas.bounds import Bounds
from tests.unit.collector.support import NOW, TOKEN, Collector, field_of

EVENTS = json.dumps([{"kind": "impression", "visitor_id": "v"}]).encode()
ZIPPED = gzip.compress(EVENTS)
HEADERS = {"authorization": f"Bearer {TOKEN}"}


def test_a_burst_passes_then_the_rate_holds() -> None:
    rates = Rates(10.0, burst_seconds=1.0)
    at_once = [rates.wait("a", 0.0) for _ in range(20)]
    assert at_once.count(0.0) == 11
    wait = at_once[-1]
    assert 0 < wait <= 0.1 + 1e-9
    assert rates.wait("b", 0.0) == 0.0
    assert rates.wait("a", wait + 1e-9) == 0.0


@given(st.floats(0.5, 100), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_over_any_time_no_more_than_burst_and_rate_pass(per_second: float, gaps: list[float]) -> None:
    rates, now, passed = Rates(per_second, burst_seconds=2.0), 0.0, 0
    for gap in gaps:
        now += gap
        passed += rates.wait("a", now) == 0.0
    assert passed <= per_second * (now + 2.0) + 1 + 1e-6


def test_no_limit_and_forgotten_keys() -> None:
    assert all(Rates(0).wait("a", 0.0) == 0.0 for _ in range(100))
    rates = Rates(1.0, burst_seconds=0.5, most_keys=2)
    assert rates.wait("a", 0.0) == 0.0
    assert rates.wait("a", 0.0) > 0.0
    for key in "bc":
        rates.wait(key, 0.0)
    assert rates.wait("a", 0.0) == 0.0


def test_one_address_is_told_to_wait_and_another_is_not() -> None:
    collector = Collector(rate_per_address=1.0)
    answers = [collector.get("/i.gif") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = answers[-1]
    assert refused.json()["error"]["field"] == "rate"
    assert int(refused.headers["retry-after"]) >= 1
    collector.peer = "192.0.2.1"
    assert collector.get("/i.gif").status_code == 200
    collector.peer = "198.51.100.77"
    assert collector.get("/healthz").status_code == 200


def test_the_rate_is_that_of_the_client_behind_a_trusted_proxy() -> None:
    collector = Collector(peer="10.0.0.1", rate_per_address=1.0, trusted_proxies=("10.0.0.0/8",))
    statuses = [
        collector.get("/i.gif", headers={"x-forwarded-for": f"192.0.2.{number}"}).status_code
        for number in range(20)
    ]
    assert set(statuses) == {200}


def test_a_token_has_a_rate_of_its_own() -> None:
    collector = Collector(rate_per_key=1.0)
    assert {collector.post([{"kind": "impression"}]).status_code for _ in range(8)} == {200, 429}
    assert collector.post([{"kind": "impression"}], token="other").status_code == 200


def test_a_compressed_batch() -> None:
    collector = Collector()
    headers = HEADERS | {"content-encoding": "gzip"}
    answer = collector.call("POST", "/events", content=gzip.compress(EVENTS), headers=headers)
    assert answer.status_code == 200
    assert collector.event["visitor_id"] == "v"


@pytest.mark.parametrize(
    "body",
    [b"", b"no gzip", ZIPPED[:-5], ZIPPED + b"x", ZIPPED * 2],
    ids=["nothing", "other bytes", "cut", "and one byte", "two"],
)
def test_what_is_not_one_gzip_stream_is_refused(body: bytes) -> None:
    headers = HEADERS | {"content-encoding": "gzip"}
    assert field_of(Collector().call("POST", "/events", content=body, headers=headers)) == "body"


def test_a_body_that_swells_is_refused_before_it_does() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    headers = HEADERS | {"content-encoding": "gzip"}
    assert Collector().call("POST", "/events", content=bomb, headers=headers).status_code == 413


def test_other_encodings_are_named() -> None:
    answer = Collector().call("POST", "/events", content=EVENTS, headers=HEADERS | {"content-encoding": "br"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (415, "content-encoding")


def dripping(collector: Collector, path: str) -> dict[str, Any]:
    """What is answered to a body whose second part never comes."""
    sent: list[dict[str, Any]] = []
    parts = [{"type": "http.request", "body": b"[", "more_body": True}]

    async def receive() -> dict[str, Any]:
        if parts:
            return parts.pop()
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
        "client": ("192.0.2.1", 1),
    }
    asyncio.run(collector.app(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]


@pytest.mark.parametrize("path", ["/events", "/lead"])
def test_a_body_that_drips_has_a_deadline(path: str) -> None:
    start = dripping(Collector(read_seconds=0.01), path)
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]


def test_nesting_is_bounded() -> None:
    assert field_of(Collector().post("[" * 100_000)) == "body"
    assert field_of(Collector().post('{"a":' * 100_000)) == "body"


class Broken(MemoryProducer):
    """Fails as only a fault of ours could."""

    def send(self, record: SentRecord) -> asyncio.Future[None]:
        raise ZeroDivisionError


def test_a_path_cannot_begin_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    link = "shop\n2026-01-01 ERROR forged"
    collector = Collector(producer=Broken(), links={link: "https://shop.example/"})
    assert collector.call("GET", f"/c/{quote(link)}").status_code == 500
    assert [record.getMessage() for record in caplog.records] == [
        "'GET' '/c/shop\\n2026-01-01 ERROR forged' failed"
    ]


def test_many_lines_of_a_kind_become_few_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    log = logging.getLogger("tests.sampled")
    log.addFilter(Sampled(2, lambda: now))
    for number in range(5):
        log.error("failed: %s", number)
    log.error("another kind")
    now = 60.0
    for number in range(5, 7):
        log.error("failed: %s", number)
    assert [record.getMessage() for record in caplog.records] == [
        "failed: 0",
        "failed: 1",
        "another kind",
        "failed: 5 (3 more like this were not logged)",
        "failed: 6",
    ]


def test_every_answer_is_counted_by_endpoint_and_status() -> None:
    collector = Collector()
    collector.get("/i.gif")
    collector.get("/i.gif", {"event_id": "x"})
    collector.get("/nothing")
    collector.get("/nothing/else")
    counted = {
        (sample.labels["endpoint"], sample.labels["status"]): sample.value
        for metric in collector.registry.collect()
        for sample in metric.samples
        if sample.name == "funnel_collector_answers_total"
    }
    assert counted == {("pixel", "200"): 1, ("pixel", "400"): 1, ("", "404"): 2}


STRICT = Bounds(amount_limit=500, future_tolerance_seconds=60)
SALE = {
    "kind": "conversion",
    "partner": "acme",
    "transaction_id": "T",
    "status": "pending",
    "currency": "EUR",
}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"value": "500.01"}, "value"),
        ({"payout_micros": 500_000_001}, "payout_micros"),
        ({"occurred_at": NOW + 60_001}, "occurred_at"),
        ({"status_at": NOW + 60_001}, "status_at"),
    ],
)
def test_a_lower_bound_refuses_events_at_the_door(content: dict[str, Any], field: str) -> None:
    assert Collector().post([SALE | content]).status_code == 200
    strict = Collector(bounds=STRICT)
    assert field_of(strict.post([SALE | content])) == field
    assert not strict.sent


def test_a_lower_bound_refuses_a_lead_at_the_door() -> None:
    fields = {"value": "500.01", "currency": "EUR"}
    assert Collector().call("POST", "/lead", data=fields).status_code == 200
    assert field_of(Collector(bounds=STRICT).call("POST", "/lead", data=fields)) == "value"
