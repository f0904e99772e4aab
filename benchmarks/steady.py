"""Steady load: whether a worker's memory and descriptors stay as they are.

``python -m benchmarks.steady [--minutes N] [--rate N] [--kafka HOST:PORT]`` prints one JSON line. Record times run faster than the clock: over the
whole run they cover 15 windows of an hour each, so that what the worker remembers has been full since before the tenth minute of 30, and each later
minute forgets as much as it learns. Flushes in flight come and go, so the resident memory is looked at once a second, and each figure of it is the
mean of a minute: ``resident_mib`` of the first, of the first after ten of 30 and of the last, ``mib_per_hour`` the slope of the means by least
squares over the last two thirds of the run, ``standard_error`` that slope's, from how far the means lie from the line. ``state_mib_per_hour``:
that of what its tables say they hold; ``descriptors``: least and most open files over the same time. ``verified``: everything sent had landed.

The embedded broker takes more processor time the longer its log is, and what is in flight grows as flushes take longer: a Kafka of its own
(`python -m tests.apache`) leaves the worker's memory alone.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from threading import Event, Thread
from typing import Any, NamedTuple

import psutil

from benchmarks.pace import paced
from benchmarks.pipeline import PARTITIONS, say
from benchmarks.sizing import wait_until_landed
from benchmarks.stacks import Bench, bench_stack
from deploy.embedded.stack import Process
from deploy.scrape import scrape, total
from deploy.settings import PREFIX, read_settings
from simulator.fixtures import records
from simulator.items import Prepared
from simulator.kafka import send_prepared

HOUR_MS = 3_600_000
WINDOWS = 15
MIB = 2**20
STATE_EVERY = 15
"""Looks, of one that asks for the metrics too: the worker has to answer that one itself."""


class Look(NamedTuple):
    """What a worker takes at ``seconds`` (monotonic): resident bytes, bytes that its tables hold (as last asked), open files."""

    seconds: float
    resident: float
    state: float
    descriptors: float


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=500, help="events a second")
    parser.add_argument("--kafka", default="", help="host:port of one to use instead of the embedded broker")
    arguments = parser.parse_args()
    # What is said in record time has to be faster too: else each partition would wait for the others much longer than it does when clocks agree.
    faster = WINDOWS * 60 / arguments.minutes
    slack_ms = round(read_settings({})["align_slack_ms"] * faster)
    ours = {"DEDUP_WINDOW_HOURS": "1", "HOT_WINDOW_HOURS": "1", "ALIGN_SLACK_MS": str(slack_ms)}
    with bench_stack(arguments.kafka, **{PREFIX + name: value for name, value in ours.items()}) as bench:
        result = steady(bench, arguments.minutes, arguments.rate)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def steady(bench: Bench, minutes: float, rate: int) -> dict[str, Any]:
    """Return the benchmark's figures."""
    worker = bench.stack.start_worker()
    events = round(minutes * 60 * rate)
    coming = sped_up(events, int(time.time() * 1000) - WINDOWS * HOUR_MS)
    watcher = Watcher(worker, pause=minutes / 30)
    watcher.start()
    say(f"{rate:,} events a second for {minutes:g} minutes")
    send_prepared(bench.values["kafka"], paced(coming, rate))
    looks = watcher.end()
    wait_until_landed(bench.values, bench.connection)
    received = int(
        bench.connection.query("SELECT sum(received) FROM ledger WHERE source NOT LIKE '%credit%'")[0][0]
    )
    thirtieths = [mean(looks[start : start + 60]) for start in range(0, len(looks) - 59, 60)]
    late, late_looks = thirtieths[len(thirtieths) // 3 :], looks[len(looks) // 3 :]
    line = Line.through([(look.seconds, look.resident) for look in late])
    return {
        "benchmark": "steady",
        "minutes": minutes,
        "rate": rate,
        "resident_mib": [round(look.resident / MIB) for look in (thirtieths[0], late[0], late[-1])],
        "mib_per_hour": round(line.slope * 3600 / MIB, 1),
        "standard_error": round(line.error * 3600 / MIB, 1),
        "state_mib_per_hour": round(
            Line.through([(look.seconds, look.state) for look in late]).slope * 3600 / MIB, 1
        ),
        "descriptors": [round(pick(look.descriptors for look in late_looks)) for pick in (min, max)],
        "verified": received >= events,
    }


def sped_up(events: int, start_ms: int) -> Iterator[Prepared]:
    """Yield ``events`` records whose record times rise evenly through all windows from ``start_ms`` on; what they tell of was in the hour before."""
    for place, record in enumerate(records(events, PARTITIONS, start_ms, span_ms=HOUR_MS)):
        yield record._replace(timestamp=start_ms + WINDOWS * HOUR_MS * place // events)


class Watcher(Thread):
    """Looks at a worker every ``pause`` seconds until it is told to end."""

    def __init__(self, worker: Process, pause: float) -> None:
        super().__init__(daemon=True)
        self._process = psutil.Process(worker.child.pid)
        self._metrics = worker.metrics
        self._pause = pause
        self._ended = Event()
        self._looks: list[Look] = []

    def run(self) -> None:
        state = 0.0
        while not self._ended.wait(self._pause):
            if len(self._looks) % STATE_EVERY == 0:
                state = total(scrape([self._metrics])[0], "funnel_worker_state_bytes")
            process = self._process
            self._looks.append(Look(time.monotonic(), process.memory_info().rss, state, process.num_fds()))

    def end(self) -> list[Look]:
        """Return what was seen."""
        self._ended.set()
        self.join()
        return self._looks


def mean(looks: Sequence[Look]) -> Look:
    """Return the mean of each figure."""
    return Look(*(statistics.fmean(figures) for figures in zip(*looks, strict=True)))


class Line(NamedTuple):
    """A straight line by least squares: its slope and that slope's standard error, both in units of y by units of x."""

    slope: float
    error: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> "Line":
        """Return the line through ``points`` (x, y), of which there are three at least."""
        xs, ys = zip(*points, strict=True)
        slope, intercept = statistics.linear_regression(xs, ys)
        rest = sum((y - intercept - slope * x) ** 2 for x, y in points)
        spread = statistics.pvariance(xs) * len(points)
        return cls(slope, math.sqrt(rest / (len(points) - 2) / spread))


if __name__ == "__main__":
    main()
