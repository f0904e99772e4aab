"""What an event takes: in Kafka, in a worker's memory, on ClickHouse's disk. The constants of the formulas in docs/operations.md.

``python -m benchmarks.sizing [--events N]`` prints one JSON line; all in bytes. ``worker_rest``: what a worker takes after them, less what it
took before and its tables. ``verified``: the oracle's final numbers equal ClickHouse's.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.pipeline import PARTITIONS, ROOT, fill, say
from deploy.backlog import backlog_of
from deploy.drained import wait_until_drained
from deploy.embedded.stack import Stack
from deploy.initialise import initialise
from deploy.scrape import by_label, scrape
from deploy.settings import PREFIX, clickhouse_settings, read_settings
from deploy.verification import compare_now
from schemas.topics import TOPICS
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.grains import ROLLUPS
from streams.broker import LogEnds, describe_cluster


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
        result = sizing(Path(directory), arguments.events)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def sizing(directory: Path, events: int) -> dict[str, Any]:
    """Take ``events`` events through one worker, and weigh what is left of them."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {"FUNNEL_PARTITIONS": str(PARTITIONS), "PYTHONPATH": str(ROOT)}
    stack = Stack(directory / "stack", {**environ, **ours})
    try:
        stack.start_servers()
        values = read_settings(stack.settings())
        list(initialise(values))
        worker = stack.start_worker()
        process = psutil.Process(worker.child.pid)
        idle = process.memory_info().rss
        say(f"sending {events:,} events into Kafka")
        size = fill(values["kafka"], events)
        connection = connect(clickhouse_settings(values))
        wait_until_landed(values, connection)
        after, (sizes, memory) = process.memory_info().rss, _memory(worker.metrics)
        found = {
            "worker_idle": idle,
            "worker_after": after,
            "worker_rest": after - idle - round(sizes),
            **memory,
            **_disk(connection, events),
        }
        connection.close()
        say("verifying")
        verified = compare_now(values, Console(stderr=True), None).ok
        return {"benchmark": "sizing", "events": events, "kafka": round(size), **found, "verified": verified}
    finally:
        stack.stop()


def wait_until_landed(values: Mapping[str, Any], connection: Connection) -> None:
    """Return once all records are in the journal and the rollups. Raises NotDrained."""
    cluster = describe_cluster(values["kafka"], TOPICS)
    ends = LogEnds(values["kafka"], [(topic, number) for topic in TOPICS for number in range(PARTITIONS)])
    wait_until_drained(lambda: backlog_of(connection, cluster, ends), pause=0.25)
    ends.close()


def _memory(metrics: str) -> tuple[float, dict[str, float]]:
    """Bytes of all tables in memory, and bytes per entry of each."""
    samples, _ = scrape([metrics])
    entries = by_label(samples, "funnel_worker_state_entries", "table")
    sizes = by_label(samples, "funnel_worker_state_bytes", "table")
    each = {f"memory_{name}": round(size / entries[name], 1) for name, size in sizes.items() if entries[name]}
    return sum(sizes.values()), each


def _disk(connection: Connection, events: int) -> dict[str, float]:
    """Bytes of the journal per event, rows of the journal per event, and bytes per row of the rollups, once merged."""
    for table in ("journal", *(rollup.table for rollup in ROLLUPS)):
        connection.execute(f"OPTIMIZE TABLE {table} FINAL")
    rows = connection.query(
        "SELECT table, sum(bytes_on_disk), sum(rows) FROM system.parts WHERE active AND database = currentDatabase() "
        "AND (table = 'journal' OR table LIKE 'rollup%') GROUP BY table"
    )
    sizes = {str(table): (int(size), int(count)) for table, size, count in rows}
    journal, journal_rows = sizes.pop("journal")
    found = {"disk_journal": round(journal / events, 1), "journal_rows": round(journal_rows / events, 2)}
    for table, (size, count) in sizes.items():
        found[f"disk_{table}"] = round(size / count, 1)
        found[f"{table}_rows"] = round(count / events, 3)
    return found


if __name__ == "__main__":
    main()
