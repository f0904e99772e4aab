"""ClickHouse away while events go on coming: how fast the backlog drains once it is back, and what the worker needs meanwhile.

``python -m benchmarks.outage [--seconds N] [--rate N]`` prints one JSON line. ``backlog``: records that came during the outage; ``drain_per_second``:
those, over the seconds from the moment ClickHouse answered again until all were in journal and rollups (waiting for the next attempt included);
``ratio``: that to ``rate``, the rate at which they had come. ``worker_mib``: resident before the outage, its peak during it, and its peak in all.
``verified``: the oracle's final numbers equal ClickHouse's.
"""

import argparse
import json
import sys
import time
from itertools import islice
from typing import Any

import psutil
from rich.console import Console

from benchmarks.pace import paced
from benchmarks.pipeline import PARTITIONS, peak_bytes, say
from benchmarks.sizing import wait_until_landed
from benchmarks.stacks import Bench, bench_stack
from deploy.settings import clickhouse_settings
from deploy.verification import compare_now
from simulator.fixtures import records
from simulator.kafka import send_prepared
from sinks.clickhouse.client import connect

WARM_SECONDS = 10
MIB = 2**20


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="of outage")
    parser.add_argument("--rate", type=int, default=5000, help="events a second")
    arguments = parser.parse_args()
    with bench_stack() as bench:
        result = outage(bench, arguments.seconds, arguments.rate)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def outage(bench: Bench, seconds: int, rate: int) -> dict[str, Any]:
    """Return the benchmark's figures."""
    stack, values, _ = bench
    worker = stack.start_worker()
    pid = worker.child.pid or 0
    coming = records((WARM_SECONDS + seconds) * rate, PARTITIONS, int(time.time() * 1000))
    say(f"{rate:,} events a second for {WARM_SECONDS} s")
    send_prepared(values["kafka"], islice(paced(coming, rate), WARM_SECONDS * rate))
    before = psutil.Process(pid).memory_info().rss
    say(f"ClickHouse is away for {seconds} s")
    stack.clickhouse.kill()
    backlog = send_prepared(values["kafka"], paced(coming, rate))
    during = peak_bytes(pid)
    stack.clickhouse.start()
    started = time.monotonic()
    say(f"it is back: {backlog:,} records to drain")
    wait_until_landed(values, connect(clickhouse_settings(values)))
    drain = backlog / (time.monotonic() - started)
    memory = [round(size / MIB) for size in (before, during, peak_bytes(pid))]
    say("verifying")
    return {
        "benchmark": "outage",
        "rate": rate,
        "outage_seconds": seconds,
        "backlog": backlog,
        "drain_per_second": round(drain),
        "ratio": round(drain / rate, 1),
        "worker_mib": memory,
        "verified": compare_now(values, Console(stderr=True), None).ok,
    }


if __name__ == "__main__":
    main()
