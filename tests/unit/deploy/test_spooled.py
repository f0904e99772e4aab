"""Waiting for a collector's spool, over metrics that a collector would serve."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from deploy.spooled import wait_until_sent
from schemas.metrics import SpoolMetrics


class Enough(Exception):
    pass


@pytest.fixture
def served() -> Iterator[tuple[SpoolMetrics, str]]:
    registry = CollectorRegistry()
    metrics = SpoolMetrics.create(registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield metrics, f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_waits_as_long_as_events_are_on_disk(served: tuple[SpoolMetrics, str]) -> None:
    metrics, url = served
    metrics.records.set(2)
    looks = []

    def watch() -> None:
        looks.append(True)
        if len(looks) > 3:
            metrics.records.dec()

    wait_until_sent(url, watch, pause=0.0)
    assert len(looks) == 5


def test_it_gives_up_where_nothing_moves(served: tuple[SpoolMetrics, str]) -> None:
    metrics, url = served
    metrics.records.set(1)
    wait_until_sent(url, lambda: None, patience=0.2, pause=0.01)


def test_a_collector_that_ends_ends_it(served: tuple[SpoolMetrics, str]) -> None:
    metrics, url = served
    metrics.records.set(1)

    def watch() -> None:
        raise Enough

    with pytest.raises(Enough):
        wait_until_sent(url, watch)


def test_without_a_spool_there_is_nothing_to_wait_for() -> None:
    server, thread = start_http_server(0, "127.0.0.1", CollectorRegistry())
    wait_until_sent(f"http://127.0.0.1:{server.server_port}/metrics", lambda: None)
    server.shutdown()
    server.server_close()
    thread.join()
