"""The collector as a process, over HTTP, with a broker behind it or without."""

import asyncio
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import trustme

from collector.links import sign
from deploy.embedded.broker import Broker, LocalBroker
from deploy.embedded.ports import free_port
from schemas.partitioning import partition_for
from tests.integration.collector_process import LINK_KEY, TOKEN, CollectorProcess
from tests.integration.curl import required_curl
from tests.integration.log import PARTITIONS, LogRecord, create_topics, read_log
from tests.support import MakeBroker, started
from tests.unit.collector.support import decode

AUTHORIZATION = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path, port=free_port())
    broker.start()
    try:
        create_topics(broker.bootstrap)
        yield broker
    finally:
        broker.kill()


@pytest.fixture
def either(tmp_path: Path, make_broker: MakeBroker) -> Iterator[LocalBroker]:
    """A broker of each kind with topics."""
    with started(make_broker(tmp_path)) as broker:
        create_topics(broker.bootstrap)
        yield broker


def event_ids(records: list[LogRecord]) -> list[str]:
    return [decode(entry.record)["event_id"] for entry in records]


def test_every_door_leads_to_the_log(either: LocalBroker, tmp_path: Path) -> None:
    links = {"shop": "https://shop.example/?c={campaign}"}
    with CollectorProcess(either.bootstrap, tmp_path / "collector.log", links=links) as collector:
        collector.await_status("/readyz", 200)
        client = collector.client
        pixel = client.get("/i.gif", params={"campaign": "spring"})
        target = "https://shop.example/?a=b"
        redirect = client.get("/c", params={"to": target, "sig": sign(target, LINK_KEY)})
        conversion = {"kind": "conversion", "partner": "p", "transaction_id": "t", "status": "approved"}
        batch = client.post("/events", json=[{"kind": "lead"}, conversion], headers=AUTHORIZATION)
        assert (pixel.status_code, redirect.status_code, batch.status_code) == (200, 302, 200)
        short = client.get("/c/shop", params={"campaign": "spring"})
        assert (short.status_code, short.headers["location"][:30]) == (302, "https://shop.example/?c=spring")
        form = client.post("/lead", data={"email": "jane@mail.example", "link": "shop"})
        assert (form.status_code, form.headers["location"][:24]) == (303, "https://shop.example/?c=")
        metrics = httpx.get(collector.metrics_url).text
        assert 'funnel_collector_accepted_total{kind="conversion"} 1.0' in metrics
        assert collector.stop() == 0
    records = read_log(either.bootstrap)
    acknowledged = [one.headers["x-funnel-event-id"] for one in (pixel, redirect, short, form)]
    acknowledged += [item["event_id"] for item in batch.json()["items"]]
    assert sorted(event_ids(records)) == sorted(acknowledged)
    for entry in records:
        assert entry.partition == partition_for(entry.record.key, PARTITIONS)
        assert decode(entry.record)["received_at"] == entry.record.timestamp


def test_curl_as_it_comes_gets_through(broker: Broker, tmp_path: Path) -> None:
    curl = required_curl()
    with CollectorProcess(broker.bootstrap, tmp_path / "collector.log") as collector:
        collector.await_status("/readyz", 200)
        command = [curl, "-sSi", f"{collector.url}/i.gif?campaign=caf%C3%A9&sub1=a+b"]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    assert answer.startswith(b"HTTP/1.1 200 OK")
    ((record, _, _),) = read_log(broker.bootstrap)
    event = decode(record)
    assert event["event_id"].encode() in answer
    assert (event["campaign"], event["sub1"], event["ip"]) == ("café", "a b", "127.0.0.0")
    assert event["user_agent"].startswith("curl/")


def test_the_broker_away_at_the_start_means_unavailable_until_it_is_there(tmp_path: Path) -> None:
    broker = Broker(tmp_path, port=free_port())
    with CollectorProcess(f"127.0.0.1:{broker.port}", tmp_path / "collector.log") as collector:
        assert collector.client.get("/readyz").status_code == 503
        response = collector.client.get("/i.gif")
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        batch = collector.client.post("/events", json=[{"kind": "click"}], headers=AUTHORIZATION)
        assert (batch.status_code, batch.json()["items"][0]["status"]) == (503, "unavailable")
        broker.start()
        try:
            assert collector.client.get("/i.gif").status_code == 503, "its topics are not there yet"
            create_topics(broker.bootstrap)
            collector.await_status("/readyz", 200)
            accepted = collector.client.get("/i.gif")
            assert accepted.status_code == 200
            assert accepted.headers["x-funnel-event-id"] in event_ids(read_log(broker.bootstrap))
        finally:
            broker.kill()


def test_a_broker_that_dies_and_comes_back_empty_is_found_again(broker: Broker, tmp_path: Path) -> None:
    with CollectorProcess(broker.bootstrap, tmp_path / "collector.log", ack_wait_seconds=0.5) as collector:
        collector.await_status("/readyz", 200)
        for _ in range(20):
            assert collector.client.get("/i.gif").status_code == 200
        broker.kill()
        assert collector.client.get("/i.gif").status_code == 503
        assert collector.client.get("/healthz").status_code == 200
        broker.start()
        create_topics(broker.bootstrap)
        collector.await_status("/i.gif", 200)
        assert len(read_log(broker.bootstrap)) >= 1


def test_stopping_under_load_loses_nothing_that_was_acknowledged(either: LocalBroker, tmp_path: Path) -> None:
    acknowledged: list[str] = []

    async def hit(client: httpx.AsyncClient, enough: asyncio.Event) -> None:
        while True:
            try:
                response = await client.get("/i.gif")
            except httpx.TransportError:
                return
            assert response.status_code == 200
            acknowledged.append(response.headers["x-funnel-event-id"])
            if len(acknowledged) == 300:
                enough.set()

    async def stop_under_load(collector: CollectorProcess) -> int:
        enough = asyncio.Event()
        async with httpx.AsyncClient(base_url=collector.url, timeout=30.0) as client:
            hits = [asyncio.create_task(hit(client, enough)) for _ in range(16)]
            async with asyncio.timeout(60):
                await enough.wait()
                collector.process.send_signal(signal.SIGTERM)
                await asyncio.gather(*hits)
            return await asyncio.to_thread(collector.process.wait, 30)

    with CollectorProcess(either.bootstrap, tmp_path / "collector.log") as collector:
        collector.await_status("/readyz", 200)
        assert asyncio.run(stop_under_load(collector)) == 0
    in_log = event_ids(read_log(either.bootstrap))
    assert len(acknowledged) >= 300
    assert set(acknowledged) <= set(in_log)
    assert len(in_log) == len(set(in_log))


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        collector = CollectorProcess("127.0.0.1:1", tmp_path / "collector.log", port=port)
        ended = collector.run_to_the_end()
    assert ended != 0
    assert f"cannot listen on 127.0.0.1:{port}" in collector.log.read_text()


def exchanged(*arguments: str) -> list[str]:
    """What curl says of each of its requests: HTTP version, connections made for it, status."""
    command = [required_curl(), "-q", "-sS", "--max-time", "30", "--noproxy", "*"]
    shown = ["-w", "%{http_version} %{num_connects} %{http_code}\n"]
    done = subprocess.run([*command, *shown, *arguments], capture_output=True, check=True, text=True)
    return done.stdout.splitlines()


NOWHERE = ("-o", "/dev/null")


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")])
def test_both_versions_of_http_are_answered_without_tls(
    broker: Broker, tmp_path: Path, option: str, version: str
) -> None:
    with CollectorProcess(broker.bootstrap, tmp_path / "collector.log", http2=True) as collector:
        collector.await_status("/readyz", 200)
        pixel, lead = f"{collector.url}/i.gif", f"{collector.url}/lead"
        assert exchanged(option, *NOWHERE, pixel) == [f"{version} 1 200"]
        assert exchanged(option, *NOWHERE, "-d", "form=a", lead) == [f"{version} 1 200"]
        refused = exchanged(option, *NOWHERE, "-d", "email=nobody", lead)
        assert refused == [f"{version} 1 400"]
        spread = ("-H", "cookie: a=b", "-H", f"cookie: fv={'abcd' + 'e' * 26}", "-H", "cookie: c=d")
        assert exchanged(option, *NOWHERE, *spread, f"{pixel}?campaign=cookies") == [f"{version} 1 200"]
    events = [decode(entry.record) for entry in read_log(broker.bootstrap)]
    assert len(events) == 3
    [known] = [event["visitor_id"] for event in events if event.get("campaign") == "cookies"]
    assert known == "abcd" + "e" * 26


def test_with_a_certificate_it_talks_tls_and_the_client_chooses_the_version(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    trusted, cert, key = (tmp_path / name for name in ("trusted.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(trusted)
    issued.private_key_pem.write_to_path(key)
    for part in issued.cert_chain_pems:
        part.write_to_path(cert, append=True)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files = {"tls_cert": str(cert), "tls_key": str(key)}
    with CollectorProcess(
        "127.0.0.1:1", tmp_path / "collector.log", verify=context, http2=True, **files
    ) as collector:
        url = ("--cacert", str(trusted), *NOWHERE, f"{collector.url}/healthz")
        # Twice over one connection each.
        assert exchanged(*url, *url) == ["2 1 200", "2 0 200"]
        assert exchanged("--http1.1", "--tls-max", "1.2", *url, *url) == ["1.1 1 200", "1.1 0 200"]
        assert collector.stop() == 0


@pytest.mark.parametrize("sent", [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"])
def test_a_connection_on_which_nothing_more_comes_is_closed(tmp_path: Path, sent: bytes) -> None:
    with (
        CollectorProcess("127.0.0.1:1", tmp_path / "collector.log", read_seconds=0.2) as collector,
        socket.create_connection(("127.0.0.1", collector.settings["port"]), timeout=30) as connection,
    ):
        connection.sendall(sent)
        while connection.recv(4096):
            pass
