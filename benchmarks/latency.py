"""Seconds from the answer of an HTTP request to its event being visible in the minute rollup, under load.

``python -m benchmarks.latency [--seconds N] [--rate N]`` prints one JSON line. Everything runs embedded on this machine: broker,
ClickHouse, collector, one worker. Events of all kinds come in batches at an even rate; beside them ten pixel hits a second, each with a
campaign of its own, are the probes. The rollup is asked for them every 100 ms, so a figure is up to 100 ms too high. ``verified``: every probe
was seen once, and nothing was refused.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx

from deploy.embedded.stack import Stack
from deploy.initialise import initialise
from deploy.settings import clickhouse_settings, read_settings
from sinks.clickhouse.client import connect

BATCH = 50
PROBES_PER_SECOND = 10
PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 30.0
KINDS = ("impression", "impression", "impression", "click", "lead")


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory:
        result = measure(Path(directory), arguments.seconds, arguments.rate)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def measure(directory: Path, seconds: int, rate: int) -> dict[str, Any]:
    """Return the benchmark's figures."""
    stack = Stack(directory, {})
    try:
        stack.start_servers()
        values = read_settings(stack.settings())
        list(initialise(values))
        stack.start_collector()
        stack.start_worker()
        watcher = Watcher(values)
        watcher.start()
        sender = Sender(stack.collector_url, values["tokens"][0], rate)
        sent = asyncio.run(sender.run(seconds))
        watcher.await_all(sender.answered.keys())
        return figures(sender, sent, watcher.seen, seconds)
    finally:
        stack.stop()


class Sender:
    """Sends batches and probes. ``answered``: probe → monotonic time of its answer."""

    def __init__(self, url: str, token: str, rate: int) -> None:
        self.url = url
        self.headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        # Made beforehand: the sender shares the cores with what it measures.
        self.bodies = [json.dumps(_events(number)).encode() for number in range(500)]
        self.rate = rate
        self.answered: dict[str, float] = {}
        self.refused = 0

    async def run(self, seconds: int) -> int:
        """Send for ``seconds``; return how many events were accepted in batches."""
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=self.url, timeout=20, trust_env=False, limits=limits) as client:
            batches = self._evenly(seconds, self.rate / BATCH, lambda number: self._batch(client, number))
            probes = self._evenly(seconds, PROBES_PER_SECOND, lambda number: self._probe(client, number))
            accepted, _ = await asyncio.gather(batches, probes)
        return accepted

    async def _evenly(self, seconds: int, per_second: float, send: Any) -> int:
        """Start ``per_second`` sendings a second, whether or not those before have been answered; return the sum of what they return."""
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = []
            for number in range(int(seconds * per_second)):
                await asyncio.sleep(max(0.0, started + number / per_second - time.monotonic()))
                tasks.append(group.create_task(send(number)))
        return sum(task.result() for task in tasks)

    async def _batch(self, client: httpx.AsyncClient, number: int) -> int:
        body = self.bodies[number % len(self.bodies)]
        answer = await client.post("/events", content=body, headers=self.headers)
        self.refused += answer.status_code != httpx.codes.OK
        return BATCH if answer.status_code == httpx.codes.OK else 0

    async def _probe(self, client: httpx.AsyncClient, number: int) -> int:
        name = f"probe-{number}"
        answer = await client.get("/i.gif", params={"campaign": name, "event_id": str(uuid.uuid4())})
        self.answered[name] = time.monotonic()
        self.refused += answer.status_code != httpx.codes.OK
        return 0


def _events(number: int) -> list[dict[str, str]]:
    return [
        {
            "kind": KINDS[place % len(KINDS)],
            "visitor_id": f"v{number}-{place}",
            "campaign": f"c-{place}",
        }
        for place in range(BATCH)
    ]


class Watcher(Thread):
    """Asks the rollup for probes until told to stop. ``seen``: probe → (monotonic time at which the query that found it was over, count)."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(daemon=True)
        self._connection = connect(clickhouse_settings(values))
        self._ended = Event()
        self.seen: dict[str, tuple[float, int]] = {}

    def run(self) -> None:
        sql = "SELECT campaign, sum(impressions) FROM rollup_minute WHERE campaign LIKE 'probe-%' GROUP BY campaign"
        while not self._ended.wait(PAUSE_SECONDS):
            rows = self._connection.query(sql)
            now = time.monotonic()
            for name, count in rows:
                first = self.seen.get(name, (now, 0))[0]
                self.seen[name] = first, int(count)

    def await_all(self, probes: Any) -> None:
        """Return once all ``probes`` are seen, or patience is over."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while set(probes) - self.seen.keys() and time.monotonic() < deadline:
            time.sleep(PAUSE_SECONDS)
        self._ended.set()
        self.join()


def figures(sender: Sender, sent: int, seen: dict[str, tuple[float, int]], seconds: int) -> dict[str, Any]:
    """Return the benchmark's line."""
    waits = sorted(
        max(0.0, seen[name][0] - answered) for name, answered in sender.answered.items() if name in seen
    )
    whole = len(waits) == len(sender.answered) and all(count == 1 for _, count in seen.values())
    percentiles = statistics.quantiles(waits, n=100) if len(waits) > 1 else [float("inf")] * 99
    return {
        "benchmark": "latency",
        "events_per_second": round(sent / seconds),
        "probes": len(waits),
        "p50_seconds": round(percentiles[49], 2),
        "p99_seconds": round(percentiles[98], 2),
        "verified": whole and not sender.refused,
    }


if __name__ == "__main__":
    main()
