"""Adding up metrics of processes, and the table of `funnel top`."""

from io import StringIO

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from rich.console import Console

from deploy.embedded.ports import free_port
from deploy.scrape import Samples, Series, by_label, parse, quantile, scrape, total
from deploy.top import table
from schemas.metrics import CollectorMetrics, SpoolMetrics, WorkerMetrics


def worker(clicks: int) -> tuple[CollectorRegistry, WorkerMetrics]:
    """A worker that has landed that many clicks and twice as many leads."""
    registry = CollectorRegistry()
    metrics = WorkerMetrics.create(registry)
    metrics.received.labels(topic="clicks").inc(clicks)
    metrics.received.labels(topic="leads").inc(2 * clicks)
    metrics.lag_records.labels(topic="clicks").set(7)
    metrics.state_bytes.labels(table="ids").set(3 * 2**20)
    return registry, metrics


def samples(registry: CollectorRegistry) -> Samples:
    return parse(generate_latest(registry).decode())


def test_series_are_kept_apart_by_label_and_added_over_all() -> None:
    read = samples(worker(5)[0])
    assert read[Series("funnel_worker_records_received_total", (("topic", "clicks"),))] == 5
    assert total(read, "funnel_worker_records_received_total") == 15
    assert by_label(read, "funnel_worker_records_received_total", "topic") == {"clicks": 5, "leads": 10}
    assert total(read, "funnel_worker_records") == 0


def test_processes_are_added_up_and_those_that_are_away_add_nothing() -> None:
    servers, urls = [], [f"http://127.0.0.1:{free_port()}/metrics"]
    for clicks in (1, 10):
        port = free_port()
        servers.append(start_http_server(port, "127.0.0.1", worker(clicks)[0]))
        urls.append(f"http://127.0.0.1:{port}/metrics")
    try:
        read, answered = scrape(urls)
    finally:
        for server, thread in servers:
            server.shutdown()
            server.server_close()
            thread.join()
    assert answered == 2
    assert by_label(read, "funnel_worker_records_received_total", "topic") == {"clicks": 11, "leads": 22}


@pytest.mark.parametrize(
    ("seconds", "share", "edge"),
    [
        ([], 0.5, 0.0),
        ([0.3], 0.5, 0.5),
        ([0.02] * 99 + [4.0], 0.99, 0.025),
        ([0.02] * 90 + [4.0] * 10, 0.99, 5.0),
    ],
)
def test_a_quantile_is_the_edge_of_its_bucket(seconds: list[float], share: float, edge: float) -> None:
    registry, metrics = worker(1)
    for place, value in enumerate(seconds):
        # Over all labels: where they differ, buckets add up.
        metrics.derive_seconds.labels(rollup=f"r{place % 2}").observe(value)
    assert quantile(samples(registry), "funnel_worker_derive_seconds", share) == edge


def test_what_lies_above_every_bucket_is_infinite() -> None:
    registry, metrics = worker(1)
    metrics.insert_seconds.observe(1e6)
    assert quantile(samples(registry), "funnel_worker_insert_seconds", 0.5) == float("inf")


def shown(now: Samples, before: Samples, seconds: float) -> str:
    out = StringIO()
    Console(file=out, width=120).print(table(now, before, seconds, 1))
    return out.getvalue()


def row(text: str, label: str) -> list[str]:
    [line] = [line for line in text.splitlines() if label in line]
    return [cell.strip() for cell in line.strip()[1:-1].split("│")]


def test_top_shows_totals_rates_lag_and_memory() -> None:
    before, now = samples(worker(100)[0]), samples(worker(500)[0])
    text = shown(now, before, 2.0)
    assert row(text, "landed by workers") == ["landed by workers", "1,500", "600"]
    assert row(text, "lag of clicks") == ["lag of clicks", "7 records", "0.0 s"]
    assert row(text, "ids in memory") == ["ids in memory", "0", "3.0 MiB"]


def test_without_a_look_before_there_are_no_rates() -> None:
    assert row(shown(samples(worker(100)[0]), {}, 0.0), "landed by workers")[1:] == ["300", ""]


def test_every_metric_that_top_reads_exists() -> None:
    from deploy.top import COUNTERS, LATENCIES

    registry = CollectorRegistry()
    CollectorMetrics.create(registry)
    SpoolMetrics.create(registry)
    WorkerMetrics.create(registry)
    names = {family.name for family in registry.collect()}
    assert {name.removesuffix("_total") for _, name in (*COUNTERS, *LATENCIES)} <= names
