"""Seconds from the answer of an HTTP request to the changed number on the open live page, under load.

``python -m benchmarks.seen [--seconds N] [--rate N]`` prints one JSON line; it needs Chromium. Everything runs embedded on this machine, as in
`benchmarks.latency`, whose load this is; the browser too. Its page shows one campaign, and the probes are ten pixel hits a second of that campaign:
the k-th that was answered is seen when the page first says k impressions or more. ``verified``: the page ended with all of them, and nothing was
refused.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
import uuid
from threading import Thread
from typing import Any

import httpx
from playwright.sync_api import Page

from benchmarks.latency import PATIENCE_SECONDS, Sender
from benchmarks.page import chromium
from benchmarks.stacks import Bench, bench_stack

CAMPAIGN = "watched"
_WATCH = """
() => {
  window.benchSeen = [];
  const look = () => {
    const number = document.querySelector("#funnel [data-step=impressions] .big");
    const shown = number ? Number(number.innerText.replaceAll(",", "")) : 0;
    const last = window.benchSeen.at(-1);
    if (!last || last[1] !== shown) window.benchSeen.push([Date.now() / 1000, shown]);
  };
  new MutationObserver(look).observe(document.getElementById("funnel"), {subtree: true, childList: true, characterData: true});
  look();
}
"""


class Probing(Sender):
    """Load, and probes of one campaign. ``times``: Unix seconds of their answers."""

    def __init__(self, url: str, token: str, rate: int) -> None:
        super().__init__(url, token, rate)
        self.times: list[float] = []

    async def _probe(self, client: httpx.AsyncClient, number: int) -> int:
        answer = await client.get("/i.gif", params={"campaign": CAMPAIGN, "event_id": str(uuid.uuid4())})
        self.times.append(time.time())
        self.refused += answer.status_code != httpx.codes.OK
        return 0


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=2000, help="events a second")
    arguments = parser.parse_args()
    with bench_stack() as bench:
        result = seen(bench, arguments.seconds, arguments.rate)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def seen(bench: Bench, seconds: int, rate: int) -> dict[str, Any]:
    """Return the benchmark's figures."""
    stack, values, _ = bench
    stack.start_collector()
    stack.start_worker()
    stack.start_dashboard()
    sender = Probing(stack.collector_url, values["tokens"][0], rate)
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{stack.dashboard_url}?range=1h&bots=1&campaign={CAMPAIGN}")
        page.wait_for_selector("html[data-shown]")
        page.evaluate(_WATCH)
        sent: list[int] = []
        sending = Thread(target=lambda: sent.append(asyncio.run(sender.run(seconds))))
        sending.start()
        sending.join()
        looks = _looks(page, len(sender.times))
    waits = sorted(_wait(answered, place + 1, looks) for place, answered in enumerate(sorted(sender.times)))
    percentiles = statistics.quantiles(waits, n=100)
    return {
        "benchmark": "seen",
        "events_per_second": round(sum(sent) / seconds),
        "probes": len(waits),
        "p50_seconds": round(percentiles[49], 2),
        "p99_seconds": round(percentiles[98], 2),
        "verified": looks[-1][1] == len(sender.times) and not sender.refused,
    }


def _looks(page: Page, probes: int) -> list[tuple[float, int]]:
    """Return when (Unix seconds) the page said which number, once it has said ``probes`` or patience is over."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        looks = [(float(at), int(number)) for at, number in page.evaluate("window.benchSeen")]
        if looks[-1][1] >= probes or time.monotonic() > deadline:
            return looks
        page.wait_for_timeout(200)


def _wait(answered: float, place: int, looks: list[tuple[float, int]]) -> float:
    return next((max(0.0, at - answered) for at, number in looks if number >= place), float("inf"))


if __name__ == "__main__":
    main()
