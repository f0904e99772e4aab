"""The whole pipeline on one machine: events already in Kafka → journal and rollups, everything on, one worker.

``python -m benchmarks.pipeline [--events N] [--plain N]`` prints one JSON line. The clock runs from the moment the worker owns its partitions
until the fences of all rollups have reached the log's end; ``minute_seconds`` until those of the minute rollup had.
``verified``: the oracle's final numbers equal ClickHouse's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from deploy.backlog import backlog_of
from deploy.drained import wait_until_drained
from deploy.embedded.broker import Broker
from deploy.embedded.stack import Stack
from deploy.initialise import initialise
from deploy.settings import PREFIX, clickhouse_settings, read_settings
from deploy.verification import compare_now
from schemas.topics import TOPICS
from simulator.fixtures import records
from simulator.kafka import send_prepared
from sinks.clickhouse.client import connect
from sinks.clickhouse.grains import MINUTE
from streams.broker import LogEnds, describe_cluster

ROOT = Path(__file__).parents[1]
PARTITIONS = 4


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--plain", type=int, default=20_000, help="events for the yardstick")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
        result = pipeline(Path(directory), arguments.events)
        plain = plain_faust(Path(directory), arguments.plain)
    result["plain_faust_events_per_second"] = round(plain)
    result["ratio_to_plain_faust"] = round(result["events_per_second"] / plain, 1)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def pipeline(directory: Path, events: int, **more: str) -> dict[str, Any]:
    """Measure ``events`` events through one worker. ``more``: variables that it is told beside the defaults."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {"FUNNEL_PARTITIONS": str(PARTITIONS), "PYTHONPATH": str(ROOT), **more}
    stack = Stack(directory / "stack", {**environ, **ours})
    try:
        stack.start_servers()
        values = read_settings(stack.settings())
        list(initialise(values))
        say(f"sending {events:,} events into Kafka")
        size = fill(values["kafka"], events)
        say("running the worker")
        measured = measure(stack, values, events)
        say("verifying")
        report = compare_now(values, Console(stderr=True), None)
        return {"benchmark": "pipeline", **measured, "mean_event_bytes": round(size), "verified": report.ok}
    finally:
        stack.stop()


def fill(bootstrap: str, events: int) -> float:
    """Send the fixture; return the mean size of a record's value."""
    total = 0

    def counted() -> Iterator[Any]:
        nonlocal total
        for record in records(events, PARTITIONS, int(time.time() * 1000)):
            total += len(record.value or b"")
            yield record

    send_prepared(bootstrap, counted())
    return total / events


def measure(stack: Stack, values: Mapping[str, Any], events: int) -> dict[str, Any]:
    """Start the worker, wait until all is derived, and return the figures."""
    cluster = describe_cluster(values["kafka"], TOPICS)
    ends = LogEnds(values["kafka"], [(topic, number) for topic in TOPICS for number in range(PARTITIONS)])
    connection = connect(clickhouse_settings(values))
    # The first look reads the end of each log; that is no work of the pipeline's.
    ends()
    servers = {"broker": stack.pids["broker"], "clickhouse": stack.pids["clickhouse"]}
    with cpu_of(servers) as spent:
        worker = stack.start_worker()
        started = time.monotonic()
        minute = wait_until_drained(lambda: backlog_of(connection, cluster, ends, (MINUTE,)), pause=0.25)
        seconds = wait_until_drained(lambda: backlog_of(connection, cluster, ends), pause=0.25) - started
        worker_process = psutil.Process(worker.child.pid)
        times = worker_process.cpu_times()
        peak = peak_bytes(worker.child.pid or 0)
    ends.close()
    connection.close()
    stages = stage_seconds(worker.metrics)
    return {
        "events": events,
        "seconds": round(seconds, 2),
        "minute_seconds": round(minute - started, 2),
        "events_per_second": round(events / seconds),
        "cpu_seconds": {"worker": round(times.user + times.system, 2), **spent},
        "cpu_seconds_by_stage": stages,
        "worker_peak_mib": round(peak / 2**20),
    }


@contextmanager
def cpu_of(pids: Mapping[str, int]) -> Iterator[dict[str, float]]:
    """Yield a mapping that afterwards holds the CPU seconds each process has spent meanwhile."""
    before = {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}
    spent: dict[str, float] = {}
    yield spent
    spent.update(
        {
            name: round(sum(psutil.Process(pid).cpu_times()[:2]) - before[name], 2)
            for name, pid in pids.items()
        }
    )


def peak_bytes(pid: int) -> int:
    """Return the largest resident size of a process so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def stage_seconds(metrics: str) -> dict[str, float]:
    """Return the CPU seconds per processing stage that a worker reports."""
    found = {}
    for family in text_string_to_metric_families(httpx.get(metrics).text):
        if family.name == "funnel_worker_process_seconds":
            found = {
                sample.labels["stage"]: round(sample.value, 2)
                for sample in family.samples
                if sample.name.endswith("_total")
            }
    return found


def plain_faust(directory: Path, events: int) -> float:
    """Return the events per second of an ordinary Faust agent over the same kind of events."""
    with Broker(directory / "plain") as broker:
        create_topics(broker.bootstrap)
        fill(broker.bootstrap, events)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.plain_faust", broker.bootstrap, str(events)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["events"] == events, answer
    return float(events / answer["seconds"])


def create_topics(bootstrap: str) -> None:
    """Create the topics of events on a bare broker."""
    from deploy.topics import create_topics as create

    create(read_settings({"FUNNEL_KAFKA": bootstrap, "FUNNEL_PARTITIONS": str(PARTITIONS)}))


def say(text: str) -> None:
    """Tell a person what is going on; standard output is for the result."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
