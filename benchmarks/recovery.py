"""A worker killed with -9, and how long it takes until another one processes again with all that it must remember.

``python -m benchmarks.recovery [--events N]`` prints one JSON line. ``hot_rows``: rows of the journal within the hot window, all of them within
six hours; ``seconds``: from the kill until what was sent right after it had landed, the broker's wait for the lost member included;
``takeover_seconds``: of these, once partitions were assigned, until former statements had ended and everything was restored;
``restore_seconds`` and ``rows_per_second``: reading those rows and building the state; ``rows_read``: some are read more than once, and what
was sent on is remembered twice; ``worker_peak_mib``: of the second worker. Before the kill ClickHouse merges what came in minutes: of what came in
six hours it would have.
``verified``: the newest of the old records, sent once more, all were duplicates to the second worker: the journal has no row more of them.
"""

import argparse
import json
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from benchmarks.pipeline import PARTITIONS, peak_bytes, say
from benchmarks.sizing import wait_until_landed
from benchmarks.stacks import Bench, bench_stack
from deploy.embedded.stack import Process
from deploy.scrape import scrape, total
from simulator.fixtures import records
from simulator.items import Prepared
from simulator.kafka import send_prepared
from sinks.clickhouse.client import Connection

SPAN_MS = 6 * 3_600_000
AGAIN = 10_000
PATIENCE_SECONDS = 600.0
QUIET_LOOKS = 5


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=4_500_000)
    arguments = parser.parse_args()
    with bench_stack() as bench:
        result = recovery(bench, arguments.events)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def recovery(bench: Bench, events: int) -> dict[str, Any]:
    """Return the benchmark's figures."""
    stack, values, connection = bench
    say(f"sending {events:,} events into Kafka")
    newest: deque[Prepared] = deque(maxlen=AGAIN)
    send_prepared(values["kafka"], _remembering(events, newest))
    say("processing them")
    first = stack.start_worker()
    wait_until_landed(values, connection)
    say("letting ClickHouse merge")
    _until_merged(connection)
    rows, (received, known) = _rows(connection), _ledger(connection)
    say("killing the worker")
    started = time.monotonic()
    first.child.kill()
    send_prepared(values["kafka"], newest)
    second = stack.start_worker("second")
    seconds = _until_more(connection, received) - started
    wait_until_landed(values, connection)
    takeover, restore = (_metric(second, f"funnel_worker_{what}_seconds") for what in ("takeover", "restore"))
    read = _metric(second, "funnel_worker_restored_rows_total")
    return {
        "benchmark": "recovery",
        "hot_rows": rows,
        "seconds": round(seconds, 2),
        "takeover_seconds": round(takeover, 2),
        "restore_seconds": round(restore, 2),
        "rows_per_second": round(rows / restore),
        "rows_read": round(read),
        "rows_read_per_second": round(read / restore),
        "worker_peak_mib": round(peak_bytes(second.child.pid or 0) / 2**20),
        "verified": _ledger(connection) == (received + AGAIN, known),
    }


def _remembering(events: int, newest: deque[Prepared]) -> Iterator[Prepared]:
    for record in records(events, PARTITIONS, int(time.time() * 1000), span_ms=SPAN_MS):
        newest.append(record)
        yield record


def _rows(connection: Connection) -> int:
    return int(connection.query("SELECT count() FROM journal")[0][0])


def _ledger(connection: Connection) -> tuple[int, int]:
    """How many records were received, and how many of them are events of the journal."""
    received, journaled = connection.query("SELECT sum(received), sum(journaled) FROM ledger")[0]
    return int(received), int(journaled)


def _until_merged(connection: Connection) -> None:
    """Wait until ClickHouse has merged nothing for some seconds. Raises TimeoutError."""
    deadline, quiet = time.monotonic() + PATIENCE_SECONDS, 0
    while quiet < QUIET_LOOKS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"ClickHouse still merges after {PATIENCE_SECONDS:.0f} s")
        time.sleep(1.0)
        quiet = 0 if connection.query("SELECT count() FROM system.merges")[0][0] else quiet + 1


def _until_more(connection: Connection, received: int) -> float:
    """Return the monotonic time at which more than ``received`` records were in the ledger. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (now := time.monotonic()) < deadline:
        if _ledger(connection)[0] > received:
            return now
        time.sleep(0.25)
    raise TimeoutError(f"nothing landed within {PATIENCE_SECONDS:.0f} s")


def _metric(worker: Process, name: str) -> float:
    samples, _ = scrape([worker.metrics])
    return total(samples, name)


if __name__ == "__main__":
    main()
