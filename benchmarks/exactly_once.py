"""What exactly-once costs: the worker against itself with owners, flush rows and fences switched off, in one run.

``python -m benchmarks.exactly_once [--events N] [--rounds N]`` prints one JSON line. Both get the same events, and the clock runs from the moment
the worker owns its partitions until all rollups hold the final sums, which a first round that is not counted has found. ``exactly_once``: events a
second of the worker as it is; ``ratio``: that to the events a second of the other, each the best of its rounds, which take turns;
``cpu_ratio``: likewise of the CPU time of worker, broker and ClickHouse. ``verified``: the oracle's numbers equal those of the first round, and every
other round reached its sums.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.attribution import total_cpu
from benchmarks.pipeline import PARTITIONS, ROOT, cpu_of, say
from deploy.backlog import backlog_of
from deploy.drained import wait_until_drained
from deploy.embedded.ports import free_port
from deploy.embedded.stack import READY_SECONDS, Stack, owns_partitions
from deploy.embedded.supervise import Child
from deploy.initialise import initialise
from deploy.settings import PREFIX, clickhouse_settings, read_settings
from deploy.verification import compare_now
from schemas.topics import TOPICS
from simulator.fixtures import records
from simulator.kafka import send_prepared
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.grains import GRAINS, MEASURES, ROLLUPS
from streams.broker import LogEnds, describe_cluster

FENCED, UNFENCED = ("deploy.cli", "worker"), ("benchmarks.unfenced",)
PATIENCE_SECONDS = 900.0
Sums = list[tuple[int, ...]]


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    now_ms = int(time.time() * 1000)
    say("finding the final sums")
    first = Round(arguments.events, now_ms)
    sums, verified = first.final()
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {UNFENCED: [], FENCED: []}
    for _ in range(arguments.rounds):
        for module, rounds in found.items():
            say("as it is" if module is FENCED else "without owners, flush rows and fences")
            rounds.append(Round(arguments.events, now_ms).timed(module, sums))
    without, with_ = (
        max(rounds, key=lambda one: float(one["events_per_second"])) for rounds in found.values()
    )
    result = {
        "benchmark": "exactly_once",
        "events": arguments.events,
        "exactly_once": with_["events_per_second"],
        "without": without["events_per_second"],
        "ratio": round(with_["events_per_second"] / without["events_per_second"], 2),
        "cpu_ratio": round(total_cpu(without) / total_cpu(with_), 2),
        "cpu_seconds": {"with": with_["cpu_seconds"], "without": without["cpu_seconds"]},
        "verified": verified,
    }
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


class Round:
    """One stack with the events in Kafka, for one worker."""

    def __init__(self, events: int, now_ms: int) -> None:
        self.events = events
        self.now_ms = now_ms

    def final(self) -> tuple[Sums, bool]:
        """Return the final sums, and whether the oracle agrees with what they come from."""
        with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
            stack = self._stack(directory)
            try:
                values, connection = self._filled(stack)
                self._worker(stack, FENCED)
                cluster = describe_cluster(values["kafka"], TOPICS)
                ends = LogEnds(
                    values["kafka"], [(topic, number) for topic in TOPICS for number in range(PARTITIONS)]
                )
                wait_until_drained(lambda: backlog_of(connection, cluster, ends))
                ends.close()
                return rollup_sums(connection), compare_now(values, Console(stderr=True), None).ok
            finally:
                stack.stop()

    def timed(self, module: tuple[str, ...], sums: Sums) -> dict[str, Any]:
        """Return the figures of the worker ``module`` until the rollups hold ``sums``. Raises TimeoutError."""
        with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
            stack = self._stack(directory)
            try:
                _, connection = self._filled(stack)
                if module is UNFENCED:
                    drop_constraints(connection)
                servers = {"broker": stack.pids["broker"], "clickhouse": stack.pids["clickhouse"]}
                with cpu_of(servers) as spent:
                    worker = self._worker(stack, module)
                    started = time.monotonic()
                    seconds = until(connection, sums) - started
                    times = psutil.Process(worker.pid).cpu_times()
                return {
                    "events_per_second": round(self.events / seconds),
                    "cpu_seconds": {"worker": round(times.user + times.system, 2), **spent},
                }
            finally:
                stack.stop()

    def _stack(self, directory: str) -> Stack:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        ours = {"FUNNEL_PARTITIONS": str(PARTITIONS), "PYTHONPATH": str(ROOT)}
        return Stack(Path(directory) / "stack", {**environ, **ours})

    def _filled(self, stack: Stack) -> tuple[dict[str, Any], Connection]:
        stack.start_servers()
        values = read_settings(stack.settings())
        list(initialise(values))
        send_prepared(values["kafka"], records(self.events, PARTITIONS, self.now_ms))
        return values, connect(clickhouse_settings(values))

    def _worker(self, stack: Stack, module: tuple[str, ...]) -> Child:
        port = free_port()
        command = [sys.executable, "-m", *module]
        environ = stack.settings(METRICS_PORT=str(port))
        child = Child("the worker", command, stack.directory / "logs" / "worker.log", environ)
        stack.on_stop(child.stop)
        child.start(lambda: owns_partitions(f"http://127.0.0.1:{port}/metrics"), READY_SECONDS)
        return child


def drop_constraints(connection: Connection) -> None:
    """Take the owners' constraint off the journal and the rollups."""
    for table in ("journal", *(rollup.table for rollup in ROLLUPS)):
        connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT owner")


def rollup_sums(connection: Connection) -> Sums:
    """Return the sums of all measures in each rollup."""
    columns = ", ".join(f"sum({measure})" for measure in MEASURES)
    return [
        tuple(int(value) for value in connection.query(f"SELECT {columns} FROM {rollup.table}")[0])
        for rollup in GRAINS
    ]


def until(connection: Connection, sums: Sums) -> float:
    """Return the monotonic time at which all rollups held ``sums``. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := time.monotonic()) < deadline:
        if rollup_sums(connection) == sums:
            return now
        time.sleep(0.25)
    raise TimeoutError(f"the rollups hold {rollup_sums(connection)} instead of {sums}")


if __name__ == "__main__":
    main()
