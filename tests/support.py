"""A whole stack for a test, on free ports, in a directory of its own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.backlog import Backlog, backlog_of
from deploy.drained import wait_until_drained
from deploy.embedded.broker import Broker, LocalBroker
from deploy.embedded.stack import Stack
from deploy.initialise import initialise
from deploy.settings import PREFIX, clickhouse_settings, read_settings
from schemas.topics import TOPICS
from sinks.clickhouse.client import connect
from streams.broker import LogEnds, describe_cluster

ROOT = Path(__file__).resolve().parents[1]
PARTITIONS = 3
# Given a folder for what it writes.
MakeBroker = Callable[[Path], LocalBroker]


@contextmanager
def started(broker: LocalBroker) -> Iterator[LocalBroker]:
    """Start ``broker``, and stop it afterwards."""
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


class Running:
    """A stack: broker (the embedded one, or ``make_broker``'s) and ClickHouse at first, then what the test starts. ``values`` are its settings.

    ``variables`` are what its processes' environment holds beside the caller's.
    """

    def __init__(
        self, directory: Path, make_broker: MakeBroker = Broker, variables: Mapping[str, str] | None = None
    ) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        tuned = {"FUNNEL_PARTITIONS": str(PARTITIONS), "FUNNEL_FLUSH_MS": "100", "PYTHONPATH": str(ROOT)}
        given = dict(variables or {})
        if "PYTHONPATH" in given:
            given["PYTHONPATH"] += os.pathsep + tuned["PYTHONPATH"]
        tuned |= given
        self.stack = Stack(directory, {**environ, **tuned}, make_broker=make_broker)
        self.values: dict[str, Any] = {}

    def start(self, **more: str) -> None:
        """Start broker and ClickHouse, and make topics and tables. Stop ``stack`` afterwards even if this fails. ``more``: settings."""
        self.stack.start_servers()
        self.values = read_settings(self.stack.settings(**more))
        list(initialise(self.values))


def drain(values: dict[str, Any], patience: float = 120.0) -> None:
    """Return once all records are in the journal and the rollup. Raises NotDrained after ``patience`` seconds without progress."""
    wait_until_drained(lambda: _backlog(values), patience=patience)


def _backlog(values: dict[str, Any]) -> Backlog:
    cluster = describe_cluster(values["kafka"], TOPICS)
    lines = [(topic, number) for topic in TOPICS for number in range(cluster.partitions[topic])]
    ends = LogEnds(values["kafka"], lines)
    connection = connect(clickhouse_settings(values))
    try:
        return backlog_of(connection, cluster, ends)
    finally:
        ends.close()
        connection.close()


def funnel(running: Running, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line beside a stack, with its settings and none of the caller's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        cwd=ROOT,
        env={**inherited, **running.stack.settings(), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
