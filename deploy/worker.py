"""A worker process: the parts of `streams` and `sinks` put together."""

import asyncio
import ctypes
import gc
import logging
import os
import signal
import sys
import time
from functools import partial

from prometheus_client import CollectorRegistry
from tenacity import RetryError

from deploy.probes import served
from schemas.metrics import WorkerMetrics
from schemas.remote import RegistryError, SchemaRegistry, registered
from schemas.topics import TOPICS
from sinks.clickhouse.attribution import register_models
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import Unavailable
from sinks.clickhouse.grains import COARSE, MINUTE
from sinks.clickhouse.history import History
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.settings import ClickHouseSettings
from streams.app import create_app, run_app
from streams.assignment import Assignments
from streams.broker import HopSender, TopicIds, describe_cluster
from streams.deriving import Deriver, Turn
from streams.errors import OwnershipLost, WorkerError
from streams.flushing import Flusher
from streams.health import Health
from streams.ledger import LedgerWatch
from streams.memory import share_heaps, share_with_arrow
from streams.patience import patiently
from streams.pipeline import Pipeline
from streams.resolving import Resolver
from streams.settings import WorkerSettings
from streams.steps.enrich import Lookups
from streams.warm import warm_up
from streams.watchdog import Watchdog

log = logging.getLogger("funnel.worker")


def run_worker(settings: WorkerSettings, clickhouse: ClickHouseSettings) -> int:
    """Run a worker until SIGTERM or SIGINT; return the exit status: 0 after a graceful stop, 1 after a failure."""
    share_heaps(ctypes.CDLL(None))
    share_with_arrow()
    registry = CollectorRegistry()
    metrics = WorkerMetrics.create(registry)
    health = Health(settings.ready_seconds)
    with served(settings.metrics_host, settings.metrics_port, registry, health):
        return asyncio.run(_run(settings, clickhouse, metrics, health))


async def _run(
    settings: WorkerSettings, clickhouse: ClickHouseSettings, metrics: WorkerMetrics, health: Health
) -> int:
    stop = asyncio.Event()
    describe = partial(describe_cluster, settings.bootstrap, TOPICS)
    await asyncio.to_thread(describe)
    ours = await asyncio.to_thread(registered, settings.registry, TOPICS) if settings.registry.url else {}
    connections = [connect(clickhouse) for _ in range(6)]
    restoring, inserting, *others = connections
    deriving, beside = others[:2], others[2:]
    lookups = Lookups.open(settings.geo_country_mmdb, settings.geo_asn_mmdb)
    await asyncio.to_thread(warm_up, lookups)
    _collect_seldom()
    owner = Journal(restoring, settings.group)
    assignments = Assignments(
        settings, owner, History(restoring), [History(one) for one in beside], lookups, describe, metrics
    )
    if ours:
        patience = patiently(RegistryError, "schemas", assignments.give_up, metrics)
        assignments.resolver = Resolver(SchemaRegistry(settings.registry), ours, patience)
    flusher = Flusher(
        Journal(inserting, settings.group),
        HopSender(settings.bootstrap),
        metrics,
        lambda: int(time.time() * 1000),
        TopicIds(settings.bootstrap, TOPICS),
    )
    pipeline = Pipeline(settings, assignments, flusher, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stop, assignments)
    app = create_app(settings, pipeline)
    derivers = _derivers(settings, pipeline, deriving, metrics)
    watchdog = Watchdog(pipeline, settings.bootstrap, metrics, settings.stall_seconds, _end)
    try:
        for deriver in derivers:
            deriver.start()
        await asyncio.to_thread(_register, assignments, restoring)
        if settings.stall_seconds:
            watchdog.start()
        health.owns = lambda: pipeline.assignment is not None
        health.answered = lambda: derivers[0].answered
        health.threads = [*derivers, watchdog] if settings.stall_seconds else derivers
        await run_app(app, pipeline, metrics, health, stop)
        return 0
    except WorkerError as error:
        log.error("%s", error)
        return 1
    finally:
        watchdog.stop()
        for deriver in derivers:
            deriver.ask_to_stop()
        for deriver in derivers:
            deriver.stop()
        pipeline.close()
        for connection in connections:
            connection.close()


def _register(assignments: Assignments, connection: Connection) -> None:
    """Register the attribution models; while ClickHouse is away, wait. Raises ModelChanged; OwnershipLost once asked to stop."""
    patience = patiently(Unavailable, "models", assignments.give_up, assignments.metrics)
    try:
        patience(register_models, connection, assignments.settings.models)
    except RetryError as error:
        raise OwnershipLost("stopped while waiting for ClickHouse") from error


def _derivers(
    settings: WorkerSettings, pipeline: Pipeline, connections: list[Connection], metrics: WorkerMetrics
) -> list[Deriver]:
    """Return the threads that derive: the minutes never wait for the hours and days."""
    minutes, coarse = connections
    ledger = LedgerWatch(coarse, metrics)
    return [
        Deriver(
            pipeline,
            Journal(minutes, settings.group),
            metrics,
            (MINUTE,),
            Turn(0.0),
            settings.derive_seconds,
            upon_landing=True,
        ),
        Deriver(
            pipeline,
            Journal(coarse, settings.group),
            metrics,
            COARSE,
            Turn(settings.derive_coarse_seconds),
            settings.derive_seconds,
            ledger.look,
        ),
    ]


def _end() -> None:
    """End at once: whatever hangs would also hang the way out. What had not landed is read again by the next owner."""
    logging.shutdown()
    os._exit(1)


def _collect_seldom() -> None:
    """Look for cyclic garbage seldom: a flush makes thousands of tuples that are none, and looking at them is a fifth of the steps' time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 20)


def _stop(stop: asyncio.Event, assignments: Assignments) -> None:
    stop.set()
    assignments.give_up.set()


if __name__ == "__main__":
    sys.exit("run `funnel worker`")
