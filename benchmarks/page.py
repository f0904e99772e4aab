"""The live page over a large journal: each of its questions at ClickHouse, and the first paint in a real browser.

``python -m benchmarks.page [--rows N] [--asks N]`` prints one JSON line; it needs Chromium. The journal is that of `benchmarks.explain`, spread over
30 days until now, with its rollups derived by the statement that workers run. ``question_ms``: median and longest time per question, over ranges,
filters and metrics; ``first_paint_ms`` and ``shown_ms``: medians from the start of the navigation until something is painted, and until the numbers
are, each time in a browser that has nothing in its cache. ``verified``: the numbers on the page are those of the journal.
"""

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from benchmarks.explain import SOURCE_NAMES, TOKEN, fill
from benchmarks.pipeline import say
from benchmarks.stacks import Bench, bench_stack
from dashboard import queries
from dashboard.filters import Filters, parse
from schemas.attribution import default_models
from sinks.clickhouse.attribution import register_models
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rollup import derive

DAYS = 30
DAY_MS = 86_400_000
JOURNEY_ROWS = 20
FLUSH_OFFSETS = 2_000
VIEW = {"model": "linear", "bots": "1"}
STATES = (
    {"range": "1h"},
    {"range": "24h"},
    {"range": "7d"},
    {"range": "30d"},
    {"range": "7d", "campaign": "campaign-7"},
    {"range": "7d", "affiliate": "affiliate-3", "metric": "epc", "top": "affiliate"},
    {"range": "30d", "channel": "affiliate", "metric": "revenue", "tz": "Europe/Berlin"},
)
OVERVIEW: dict[str, Callable[[Filters], queries.Query]] = {
    "series": queries.series,
    "currencies": queries.currencies,
    "tops": queries.tops,
    "models": queries.models,
    "seconds": lambda filters: queries.seconds(int(time.time()), filters.recent),
    "freshness": lambda _: queries.FRESHNESS,
}
DETAILS: dict[str, Callable[[Filters], queries.Query]] = {
    "partners": queries.partners,
    "magnets": queries.magnets,
    "choices": queries.options,
}


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--asks", type=int, default=5, help="per question and state of the page")
    arguments = parser.parse_args()
    with bench_stack() as bench:
        result = page(bench, arguments.rows, arguments.asks)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def page(bench: Bench, rows: int, asks: int) -> dict[str, Any]:
    """Return the benchmark's figures."""
    connection = bench.connection
    journeys = rows // JOURNEY_ROWS
    say(f"making a journal of {rows:,} rows")
    prepare(connection, rows, int(time.time() * 1000) - DAYS * DAY_MS, DAYS * DAY_MS // journeys)
    [[stored]] = connection.query("SELECT count() FROM journal WHERE kind != 'flush'")
    say("asking ClickHouse")
    questions = {
        name: timed(connection, question, asks) for name, question in {**OVERVIEW, **DETAILS}.items()
    }
    say("looking at the page")
    bench.stack.start_dashboard(DASHBOARD_SILENT_SECONDS="86400")
    with chromium() as browser:
        loads = [load(browser, bench.stack.dashboard_url) for _ in range(2 * asks)]
    return {
        "benchmark": "page",
        "rows": stored,
        "question_ms": questions,
        "refresh_worst_ms": max(times["most"] for times in questions.values()),
        "first_paint_ms": round(statistics.median(painted for painted, _, _ in loads)),
        "shown_ms": round(statistics.median(shown for _, shown, _ in loads)),
        "verified": stored == rows and all(numbers == expected(journeys) for *_, numbers in loads),
    }


def prepare(connection: Connection, rows: int, start_ms: int, step_ms: int) -> None:
    """Make the journal, a flush row per `FLUSH_OFFSETS` offsets of each source, and all rollups."""
    register_models(connection, default_models())
    fill(connection, rows, start_ms, step_ms)
    # Journeys take eight offsets of each of their sources, eight journeys at a time.
    offsets = rows // JOURNEY_ROWS
    for source in SOURCE_NAMES:
        connection.execute(
            "INSERT INTO journal (kind, _source, _offset, _record_time, _ingested_at, _owner, route, first_offset, received, journaled) "
            f"SELECT 'flush', '{source}', least((number + 1) * {FLUSH_OFFSETS}, {offsets}) + 8, fromUnixTimestamp64Milli(toInt64({start_ms} + "
            f"number * {FLUSH_OFFSETS} * {step_ms}), 'UTC'), now64(3), {TOKEN}, 'aaaa', number * {FLUSH_OFFSETS}, "
            f"{FLUSH_OFFSETS}, {FLUSH_OFFSETS} FROM numbers({offsets // FLUSH_OFFSETS + 1})"
        )
    journal = Journal(connection, "funnel")
    for rollup in ROLLUPS:
        while derive(journal, rollup, SOURCE_NAMES, TOKEN).more:
            pass


def timed(
    connection: Connection, question: Callable[[Filters], queries.Query], asks: int
) -> dict[str, float]:
    """Return the median and the longest time of a question in ms, over all `STATES`, after one that is not counted."""
    times = []
    for state in STATES:
        asked = question(parse({**VIEW, "currency": "EUR", **state}, int(time.time())))
        connection.query(asked.sql, asked.parameters)
        for _ in range(asks):
            began = time.perf_counter()
            connection.query(asked.sql, asked.parameters)
            times.append((time.perf_counter() - began) * 1000)
    return {"median": round(statistics.median(times), 1), "most": round(max(times), 1)}


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, without a window. Raises FileNotFoundError where there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        raise FileNotFoundError("chromium (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


def load(browser: Browser, url: str) -> tuple[float, float, list[int]]:
    """Open the page as somebody new; return ms until something was painted and until the numbers were, and these."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        opened = context.new_page()
        opened.add_init_script(
            "new MutationObserver((_, seen) => { if (document.documentElement?.dataset.shown) { seen.disconnect(); "
            "requestAnimationFrame(() => requestAnimationFrame(() => { window.benchShown = performance.now(); })); } })"
            ".observe(document, {subtree: true, attributes: true, childList: true});"
        )
        state = "&".join(f"{name}={value}" for name, value in {**VIEW, "range": "90d"}.items())
        opened.goto(f"{url}?{state}")
        opened.wait_for_function("window.benchShown > 0")
        painted = opened.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        texts = opened.locator("#funnel li:not(:last-child) .big").all_inner_texts()
        return painted, opened.evaluate("window.benchShown"), [int(text.replace(",", "")) for text in texts]
    finally:
        context.close()


def expected(journeys: int) -> list[int]:
    """Return what all journeys add up to: impressions, clicks, leads, conversions."""
    return [8 * journeys, 4 * journeys, journeys, journeys]


if __name__ == "__main__":
    main()
