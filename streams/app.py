"""The Faust app of a worker: one agent over the co-partitioned topics, whose events are record batches."""

import asyncio
import logging
import time
from typing import Any, cast

import faust

from schemas.metrics import WorkerMetrics
from schemas.topics import TOPICS
from streams.health import Health
from streams.memory import give_back
from streams.observe import observe_lag
from streams.pipeline import Pipeline
from streams.settings import WorkerSettings
from streams.transport import BatchConsumer, batch_transport

log = logging.getLogger(__name__)

BUFFERED_BATCHES = 16
"""Fetched batches that may wait between consumer and agent; Faust's default of 4096 is meant for single events."""


class _App(faust.App):
    def _create_directories(self) -> None:
        """Keep nothing on disk: there are no tables, and the root of a container may be read-only."""


def create_app(settings: WorkerSettings, pipeline: Pipeline) -> faust.App:
    """Return the Faust app that feeds ``pipeline``."""
    app = _App(
        settings.group,
        broker=f"kafka://{settings.bootstrap}",
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=settings.session_timeout_seconds,
        broker_heartbeat_interval=settings.session_timeout_seconds / 4,
        broker_request_timeout=300.0,
        stream_buffer_maxsize=BUFFERED_BATCHES,
        stream_wait_empty=True,
        web_enabled=False,
        store="memory://",
    )
    app.transport = batch_transport(app, settings, pipeline.positions, pipeline.drain)
    # Offsets of acknowledged messages would be kept until Faust commits, which it never does here.
    topic = app.topic(*TOPICS, key_type=None, value_type=None, value_serializer="raw", acks=False)

    @app.agent(topic, name="intake", concurrency=1)
    async def intake(stream: Any) -> None:
        async for event in stream.events():
            await pipeline.put(event.message.value)

    return app


async def run_app(
    app: faust.App, pipeline: Pipeline, metrics: WorkerMetrics, health: Health, stop: asyncio.Event
) -> None:
    """Run ``app`` and ``pipeline``, with signs of life in ``health``, until ``stop`` is set, or one of them fails: then its error is raised."""
    async with app:
        consumer = cast(BatchConsumer, app.consumer)
        pipeline.commit = consumer.commit_flushed
        stopping = asyncio.create_task(stop.wait(), name="stop")
        tasks = {
            stopping,
            asyncio.create_task(pipeline.run(), name="pipeline"),
            asyncio.create_task(pipeline.failing(), name="failing"),
            asyncio.create_task(_crash_of(app), name="crash"),
            asyncio.create_task(_watch_lag(consumer, pipeline, metrics), name="lag"),
            asyncio.create_task(_beat(consumer, health), name="beat"),
            asyncio.create_task(give_back(), name="memory"),
        }
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if stopping in done:
            await pipeline.drain()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done - {stopping}:
        if (error := task.exception()) is not None:
            raise error


async def _watch_lag(consumer: BatchConsumer, pipeline: Pipeline, metrics: WorkerMetrics) -> None:
    while True:
        await asyncio.sleep(1.0)
        if pipeline.assignment is not None:
            observe_lag(metrics, consumer.high_watermarks(), pipeline.landed, time.time() * 1000)


async def _beat(consumer: BatchConsumer, health: Health) -> None:
    while True:
        now = time.monotonic()
        health.beat = now
        health.heard = now - consumer.silent_seconds(time.time())
        health.is_member = consumer.is_member
        await asyncio.sleep(0.5)


async def _crash_of(app: faust.App) -> None:
    """Raise what crashed the app, as soon as it has."""
    while not app.crashed:
        await asyncio.sleep(0.1)
    raise app.crash_reason or RuntimeError("the Faust app crashed")
