"""A stack for a benchmark: broker and ClickHouse with topics and tables, and none of the caller's settings."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.pipeline import PARTITIONS, ROOT
from deploy.embedded.broker import Broker
from deploy.embedded.existing import ExistingKafka
from deploy.embedded.stack import Stack
from deploy.initialise import initialise
from deploy.settings import PREFIX, clickhouse_settings, read_settings
from sinks.clickhouse.client import Connection, connect


class Bench(NamedTuple):
    """What a benchmark works with. ``values`` are the settings, as read."""

    stack: Stack
    values: dict[str, Any]
    connection: Connection


@contextmanager
def bench_stack(kafka: str = "", **more: str) -> Iterator[Bench]:
    """Start the servers in a folder that is gone afterwards, with all that was started. ``more``: variables of the processes.

    ``kafka``: `host:port` of one that runs, to be used instead of the embedded broker; it is left as it was. Raises TopicsInTheWay.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {"FUNNEL_PARTITIONS": str(PARTITIONS), "PYTHONPATH": str(ROOT), **more}
    with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
        stack = Stack(
            Path(directory) / "stack",
            {**environ, **ours},
            make_broker=(lambda logs: ExistingKafka(kafka, logs / "broker.log")) if kafka else Broker,
        )
        try:
            stack.start_servers()
            values = read_settings(stack.settings())
            list(initialise(values))
            yield Bench(stack, values, connect(clickhouse_settings(values)))
        finally:
            stack.stop()
