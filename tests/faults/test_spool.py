"""The broker out of reach, and the collector killed meanwhile: what was acknowledged is in Kafka in the end.

events     ─────────────────────────────────────────────▶ all acknowledged (those of a killed collector's clients are sent again)
broker     ────────╳ out of reach          ╳───────────────▶
collector  Kafka  │ disk    ✗ (kill -9)   disk │ Kafka, and what is on disk drains
"""

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from deploy.embedded.broker import Broker
from deploy.embedded.ports import free_port
from deploy.verification import compare_now
from simulator.acknowledged import append_acknowledged
from simulator.generate import generate
from simulator.mess import Mess
from simulator.send import CollectorTarget, send_to_collector
from tests.apache.broker import ApacheBroker
from tests.integration.collector_process import READY_SECONDS, CollectorProcess
from tests.integration.log import create_topics, read_log
from tests.proxy import Proxy
from tests.support import Running, drain
from tests.unit.collector.support import decode

CLIENTS = 16


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", free_port())) as proxy:
        yield proxy


@pytest.fixture
def broker(proxy: Proxy, tmp_path: Path) -> Iterator[Broker]:
    """A broker that clients reach through ``proxy``."""
    broker = Broker(tmp_path, port=proxy.target[1], advertised=proxy.address)
    broker.start()
    try:
        create_topics(proxy.address)
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def collector(proxy: Proxy, tmp_path: Path) -> Iterator[CollectorProcess]:
    """A collector with a spool of small segments, which reaches the broker through ``proxy``."""
    with CollectorProcess(
        proxy.address,
        tmp_path / "collector.log",
        ack_wait_seconds=1.0,
        spool_dir=str(tmp_path / "spool"),
        spool_segment_bytes=20_000,
    ) as collector:
        yield collector


class Visitors:
    """Clients that hit the pixel one after the other until they are told to stop. ``acknowledged``: the ids they got."""

    def __init__(self, collector: CollectorProcess) -> None:
        self.collector = collector
        self.acknowledged: list[str] = []
        self.statuses: set[int] = set()
        self._stopping = False

    async def __aenter__(self) -> "Visitors":
        self._client = httpx.AsyncClient(base_url=self.collector.url, timeout=60.0, trust_env=False)
        self._tasks = [asyncio.create_task(self._visit()) for _ in range(CLIENTS)]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)
        await self._client.aclose()

    async def more(self, count: int) -> None:
        """Return once ``count`` more events are acknowledged."""
        enough = len(self.acknowledged) + count
        async with asyncio.timeout(READY_SECONDS * 2):
            while len(self.acknowledged) < enough:
                await asyncio.sleep(0.02)

    async def _visit(self) -> None:
        while not self._stopping:
            try:
                response = await self._client.get("/i.gif")
            except httpx.TransportError:
                await asyncio.sleep(0.05)  # it was killed, and will be back
                continue
            self.statuses.add(response.status_code)
            if response.status_code == httpx.codes.OK:
                self.acknowledged.append(response.headers["x-funnel-event-id"])


def until_drained(collector: CollectorProcess) -> None:
    deadline = time.monotonic() + 2 * READY_SECONDS
    while collector.metric("funnel_collector_spool_bytes") or collector.metric(
        "funnel_collector_spool_in_use"
    ):
        assert time.monotonic() < deadline, "the spool does not drain"
        time.sleep(0.1)


def ids_in_log(proxy: Proxy) -> list[str]:
    """The ids of all events in Kafka; each has its record time."""
    events = [(entry.record, decode(entry.record)) for entry in read_log(proxy.address)]
    assert all(event["received_at"] == record.timestamp for record, event in events)
    return [event["event_id"] for _, event in events]


def test_an_outage_turns_nobody_away(proxy: Proxy, broker: Broker, collector: CollectorProcess) -> None:
    async def scenario() -> None:
        async with visitors:
            await visitors.more(100)
            proxy.cut()
            await visitors.more(500)
            ready = await asyncio.to_thread(collector.client.get, "/readyz")
            assert ready.json() == {"status": "ready", "kept_by": "spool"}
            proxy.mend()
            await visitors.more(100)

    collector.await_status("/readyz", 200)
    visitors = Visitors(collector)
    asyncio.run(scenario())
    until_drained(collector)
    assert visitors.statuses == {200}
    assert collector.metric("funnel_collector_spool_spooled_records_total") >= 500
    assert collector.client.get("/readyz").json() == {"status": "ready", "kept_by": "broker"}
    assert set(visitors.acknowledged) <= set(ids_in_log(proxy))


def test_records_that_arrive_although_nobody_heard_are_twice_in_the_log_under_one_id(
    proxy: Proxy, broker: Broker, collector: CollectorProcess
) -> None:
    async def scenario() -> None:
        async with visitors:
            await visitors.more(100)
            proxy.hold_back(answers_only=True)
            await visitors.more(300)
            proxy.mend()
            await visitors.more(100)

    collector.await_status("/readyz", 200)
    visitors = Visitors(collector)
    asyncio.run(scenario())
    until_drained(collector)
    assert visitors.statuses == {200}
    ids = ids_in_log(proxy)
    assert set(visitors.acknowledged) <= set(ids)
    assert len(ids) > len(set(ids)), "what timed out had arrived"
    contents: dict[str, bytes] = {}
    for entry in read_log(proxy.address):
        event_id = decode(entry.record)["event_id"]
        assert contents.setdefault(event_id, entry.record.value) == entry.record.value


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_collector_killed_while_it_spools_and_while_it_drains(
    proxy: Proxy, broker: Broker, collector: CollectorProcess, seed: int
) -> None:
    chance = random.Random(seed)

    def kill_and_restart() -> None:
        collector.kill()
        collector.restart()

    async def scenario() -> None:
        async with visitors:
            await visitors.more(50)
            proxy.cut()
            for _ in range(3):
                await visitors.more(chance.randrange(50, 400))
                await asyncio.to_thread(kill_and_restart)
            proxy.mend()
            await asyncio.sleep(chance.uniform(0.0, 1.0))
            await asyncio.to_thread(kill_and_restart)
            await visitors.more(50)

    collector.await_status("/readyz", 200)
    visitors = Visitors(collector)
    asyncio.run(scenario())
    until_drained(collector)
    assert visitors.statuses == {200}
    assert set(visitors.acknowledged) <= set(ids_in_log(proxy))


def test_a_broker_that_is_not_there_yet(proxy: Proxy, collector: CollectorProcess, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with visitors:
            await visitors.more(200)

    assert collector.client.get("/readyz").json()["kept_by"] == "spool"
    visitors = Visitors(collector)
    asyncio.run(scenario())
    assert collector.stop() == 0
    collector.restart()
    assert collector.metric("funnel_collector_spool_records") == len(visitors.acknowledged)
    broker = Broker(tmp_path, port=proxy.target[1], advertised=proxy.address)
    broker.start()
    try:
        create_topics(proxy.address)
        until_drained(collector)
        assert sorted(ids_in_log(proxy)) == sorted(visitors.acknowledged)
    finally:
        broker.kill()


def test_a_broker_that_comes_back_without_its_memory(
    proxy: Proxy, broker: Broker, collector: CollectorProcess
) -> None:
    async def scenario() -> int:
        async with visitors:
            await visitors.more(100)
            broker.kill()
            await visitors.more(300)
            before = len(visitors.acknowledged)
            broker.start()
            create_topics(proxy.address)
            await visitors.more(300)
            return before

    collector.await_status("/readyz", 200)
    visitors = Visitors(collector)
    before = asyncio.run(scenario())
    until_drained(collector)
    assert visitors.statuses == {200}
    assert set(visitors.acknowledged[before:]) <= set(ids_in_log(proxy))


def test_a_disk_that_takes_no_more_for_a_while(
    proxy: Proxy, broker: Broker, collector: CollectorProcess
) -> None:
    """A bound on the size of its files does to the collector's writes what a full disk does: part of one, then an error."""

    def limit(size: int) -> None:
        _, most = resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(collector.process.pid, resource.RLIMIT_FSIZE, (size, most))

    async def scenario() -> None:
        async with visitors:
            proxy.cut()
            await visitors.more(100)
            limit(3000)
            await visitors.more(100)
            assert visitors.statuses == {200, 503}
            limit(resource.RLIM_INFINITY)
            await visitors.more(100)
            proxy.mend()

    collector.await_status("/readyz", 200)
    visitors = Visitors(collector)
    asyncio.run(scenario())
    until_drained(collector)
    assert set(visitors.acknowledged) <= set(ids_in_log(proxy))


def test_a_second_collector_on_one_spool_does_not_start(collector: CollectorProcess, tmp_path: Path) -> None:
    spool_dir = collector.settings["spool_dir"]
    second = CollectorProcess("127.0.0.1:1", tmp_path / "second.log", spool_dir=spool_dir)
    assert second.run_to_the_end() != 0
    assert "another collector uses it" in second.log.read_text()


@pytest.fixture(params=[Broker, pytest.param(ApacheBroker, marks=pytest.mark.apache)])
def freezing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """A stack with a broker of its own, which may be frozen: one that tests share may not."""
    running = Running(tmp_path / "stack", request.param)
    try:
        running.start()
        yield running
    finally:
        running.stack.stop()


def test_the_numbers_are_exact_after_an_outage(freezing: Running, tmp_path: Path) -> None:
    """The whole way, the broker standing still for a while: what is spooled, late or twice changes no final number."""
    stack = freezing.stack
    stack.start_worker()
    stack.start_collector()
    target = CollectorTarget(
        stack.collector_url, freezing.values["tokens"][0], freezing.values["link_keys"][0], hit_every=5
    )
    items = list(generate(5, 6000, int(time.time() * 1000), Mess.none()))

    async def send() -> dict[str, str]:
        acknowledged = {}
        for start in range(0, len(items), 1000):
            if start == 2000:
                os.kill(stack.pids["broker"], signal.SIGSTOP)
            if start == 4000:
                os.kill(stack.pids["broker"], signal.SIGCONT)
            sent = await send_to_collector(items[start : start + 1000], target, None)
            acknowledged |= sent.acknowledged
        return acknowledged

    acknowledged = asyncio.run(send())
    collected = stack.metrics["collector"]
    deadline = time.monotonic() + 120
    while "funnel_collector_spool_records 0.0" not in httpx.get(collected, trust_env=False).text:
        assert time.monotonic() < deadline, "the spool does not drain"
        time.sleep(0.1)
    assert (
        "funnel_collector_spool_spooled_records_total 0.0" not in httpx.get(collected, trust_env=False).text
    )
    drain(freezing.values)
    path = tmp_path / "acknowledged.txt"
    append_acknowledged(path, acknowledged)
    console = Console(width=200, record=True)
    assert compare_now(freezing.values, console, path).ok, console.export_text()
