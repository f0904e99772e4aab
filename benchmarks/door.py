"""The front door as senders feel it: latency at half its rate, redirects, and what 200 connections with dripping bodies change.

``python -m benchmarks.door [--rounds N] [--seconds N] [--minutes N]`` prints one JSON line. One collector process, behind it an embedded
broker, loaded by wrk (128 connections, a browser's headers) on the same machine. Each round measures pixel and redirect as fast as they go, then
at half the pixel's rate, then as fast as they go while 200 connections send a form byte by byte; figures are medians of the rounds.
``minutes``: afterwards, load at half the rate for so long; memory is that of the collector's process at its start and at its end.
``verified``: nothing but successes were counted.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.collector import LINK_KEY, PIXEL, READY_SECONDS, answers, server
from benchmarks.interpreter import interpreter
from benchmarks.wrk import Load, load, missing
from collector.links import sign
from deploy.embedded.broker import Broker
from deploy.settings import read_settings
from deploy.topics import create_topics

TARGET = "https://shop.example/p"
REDIRECT = f"/c?to={TARGET}&sig={sign(TARGET, LINK_KEY)}&campaign=spring&affiliate=a17&sub1=abc"
DRIPPING = 200


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of load, per measurement")
    parser.add_argument("--minutes", type=float, default=0.0, help="of load while memory is watched")
    arguments = parser.parse_args()
    error = missing()
    if error:
        result: dict[str, Any] = {"benchmark": "door", "error": error, "verified": False}
    else:
        result = measure(arguments.rounds, arguments.seconds, arguments.minutes)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def measure(rounds: int, seconds: int, minutes: float) -> dict[str, Any]:
    """Return the benchmark's figures."""
    with tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory, Broker(directory) as broker:
        create_topics(read_settings({"FUNNEL_KAFKA": broker.bootstrap}))
        collector, url = server("collector", Path(directory), broker.bootstrap)
        try:
            collector.start(lambda: answers(f"{url}/readyz"), READY_SECONDS)
            load(url + PIXEL, 1)
            measured = [one_round(url, seconds) for _ in range(rounds)]
            memory = watch_memory(collector.pid or 0, url, measured, minutes) if minutes else {}
        finally:
            collector.stop()
    return figures(measured) | memory


def one_round(url: str, seconds: int) -> dict[str, Load]:
    """Return the loads of one round by what they measure."""
    pixel, redirect = url + PIXEL, url + REDIRECT
    found = {"pixel": load(pixel, seconds), "redirect": load(redirect, seconds)}
    half = found["pixel"].per_second / 2
    found |= {"pixel_at_half": load(pixel, seconds, half), "redirect_at_half": load(redirect, seconds, half)}
    with dripping(url):
        found |= {
            "pixel_beside_dripping": load(pixel, seconds),
            "redirect_beside_dripping": load(redirect, seconds),
        }
    return found


@contextmanager
def dripping(url: str) -> Iterator[None]:
    """While entered, connections send forms byte by byte; those that are cut off come again."""
    host, _, port = url.removeprefix("http://").partition(":")
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_drip_all(host, int(port), stop)), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


async def _drip_all(host: str, port: int, stop: threading.Event) -> None:
    await asyncio.gather(*(_drip(host, port, stop) for _ in range(DRIPPING)))


async def _drip(host: str, port: int, stop: threading.Event) -> None:
    head = b"POST /lead HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\ncontent-length: 60000\r\n\r\n"
    while not stop.is_set():
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(head)
            while not stop.is_set() and not writer.is_closing():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(0.5)
            writer.close()


def watch_memory(pid: int, url: str, measured: list[dict[str, Load]], minutes: float) -> dict[str, Any]:
    """Load at half the rate; return the process's resident size in MiB after a first minute, and at the end."""
    half = statistics.median(found["pixel"].per_second for found in measured) / 2
    load(url + PIXEL, 60, half)
    before = psutil.Process(pid).memory_info().rss
    seen = load(url + PIXEL, round(60 * minutes), half)
    after = psutil.Process(pid).memory_info().rss
    return {
        "minutes": minutes,
        "hits_while_watched": seen.requests,
        "memory_mib": [round(size / 2**20, 1) for size in (before, after)],
    }


def figures(measured: list[dict[str, Load]]) -> dict[str, Any]:
    """Return the benchmark's line. Ratios are medians of the rounds' ratios."""

    def median(name: str, field: str) -> float:
        return float(statistics.median(getattr(found[name], field) for found in measured))

    def ratio(name: str) -> float:
        return statistics.median(
            found[f"{name}_beside_dripping"].per_second / found[name].per_second for found in measured
        )

    return {
        "benchmark": "door",
        "python": interpreter(),
        "pixel_per_second": round(median("pixel", "per_second")),
        "pixel_p99_ms": round(median("pixel", "p99_ms"), 1),
        "redirect_per_second": round(median("redirect", "per_second")),
        "redirect_p99_ms": round(median("redirect", "p99_ms"), 1),
        "half_per_second": round(median("pixel_at_half", "per_second")),
        "pixel_p99_ms_at_half": round(median("pixel_at_half", "p99_ms"), 1),
        "redirect_p99_ms_at_half": round(median("redirect_at_half", "p99_ms"), 1),
        "pixel_beside_dripping": round(ratio("pixel"), 2),
        "redirect_beside_dripping": round(ratio("redirect"), 2),
        "verified": not any(load.failed for found in measured for load in found.values()),
    }


if __name__ == "__main__":
    main()
