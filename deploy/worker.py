"""A worker process: the parts of `streams` and `sinks` put together."""

import asyncio
import gc
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, start_http_server

from schemas.metrics import WorkerMetrics
from schemas.topics import TOPICS
from sinks.clickhouse.client import connect
from sinks.clickhouse.errors import NotOwner, Refused, Unavailable
from sinks.clickhouse.history import History
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.minute import MINUTE
from sinks.clickhouse.rollup import derive
from sinks.clickhouse.settings import ClickHouseSettings
from streams.app import create_app, run_app
from streams.assignment import Assignments
from streams.broker import HopSender, describe_cluster
from streams.errors import WorkerError
from streams.flushing import Flusher
from streams.pipeline import Pipeline
from streams.settings import WorkerSettings
from streams.steps.enrich import Lookups
from streams.warm import warm_up

log = logging.getLogger("funnel.worker")


def run_worker(settings: WorkerSettings, clickhouse: ClickHouseSettings) -> int:
    """Run a worker until SIGTERM or SIGINT; return the exit status: 0 after a graceful stop, 1 after a failure."""
    registry = CollectorRegistry()
    metrics = WorkerMetrics.create(registry)
    server, thread = start_http_server(settings.metrics_port, settings.metrics_host, registry)
    try:
        return asyncio.run(_run(settings, clickhouse, metrics))
    finally:
        server.shutdown()
        thread.join()


async def _run(settings: WorkerSettings, clickhouse: ClickHouseSettings, metrics: WorkerMetrics) -> int:
    stop = asyncio.Event()
    cluster = await asyncio.to_thread(describe_cluster, settings.bootstrap, TOPICS)
    partitions = cluster.partitions[TOPICS[0]]
    restoring, inserting, deriving = (connect(clickhouse) for _ in range(3))
    lookups = Lookups.open(settings.geo_country_mmdb, settings.geo_asn_mmdb)
    await asyncio.to_thread(warm_up, lookups)
    _collect_seldom()
    owner = Journal(restoring, settings.group)
    assignments = Assignments(settings, owner, History(restoring), lookups, cluster.id, partitions, metrics)
    flusher = Flusher(
        Journal(inserting, settings.group),
        HopSender(settings.bootstrap),
        metrics,
        lambda: int(time.time() * 1000),
    )
    pipeline = Pipeline(settings, assignments, flusher, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop, assignments)
    app = create_app(settings, pipeline)
    deriver = Deriver(pipeline, Journal(deriving, settings.group), metrics, settings.derive_seconds)
    try:
        deriver.start()
        await run_app(app, pipeline, metrics, stop)
        return 0
    except WorkerError as error:
        log.error("%s", error)
        return 1
    finally:
        deriver.stop()
        pipeline.close()
        for connection in (restoring, inserting, deriving):
            connection.close()


def _collect_seldom() -> None:
    """Look for cyclic garbage seldom: a flush makes thousands of tuples that are none, and looking at them is a fifth of the steps' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


def _stop(stop: asyncio.Event, assignments: Assignments) -> None:
    stop.set()
    assignments.give_up.set()


class Deriver(threading.Thread):
    """Runs the derive statements of the sources that the worker owns, with a connection of its own."""

    def __init__(self, pipeline: Pipeline, journal: Journal, metrics: WorkerMetrics, seconds: float) -> None:
        super().__init__(name="derive", daemon=True)
        self._pipeline = pipeline
        self._journal = journal
        self._metrics = metrics
        self._seconds = seconds
        self._stopping = threading.Event()

    def run(self) -> None:
        """Derive every ``seconds``, from start to start, until stopped; a failure is tried again the next time."""
        pause = self._seconds
        while not self._stopping.wait(pause):
            started = time.monotonic()
            try:
                while self._once() and not self._stopping.is_set():
                    pass
            except (Unavailable, NotOwner, Refused) as error:
                self._metrics.retries.labels(operation="derive").inc()
                log.warning("derive failed, trying again: %s", error)
            # Where deriving takes longer than that, ClickHouse still gets some air.
            pause = max(self._seconds - (time.monotonic() - started), self._seconds / 5)

    def _once(self) -> bool:
        """Derive once; return whether more is waiting."""
        assignment = self._pipeline.assignment
        if assignment is None:
            return False
        started = time.perf_counter()
        sources: Sequence[str] = list(assignment.sources.values())
        derived = derive(self._journal, MINUTE, sources, assignment.token)
        if derived.rows:
            self._metrics.derive_seconds.labels(rollup=MINUTE.name).observe(time.perf_counter() - started)
        return derived.more

    def stop(self) -> None:
        """Stop after the statement under way."""
        self._stopping.set()
        if self.is_alive():
            self.join()


if __name__ == "__main__":
    sys.exit("run `funnel worker`")
