"""`funnel top`: what the processes say of themselves, live."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.live import Live
from rich.table import Table

ADDRESSES = "metrics.txt"
"""File in the data directory where `funnel up` writes the addresses of its processes' metrics."""

Samples = dict[str, float]


def top(values: Mapping[str, Any], console: Console, urls: Sequence[str], once: bool) -> None:
    """Show the processes at ``urls`` (those of `funnel up` if there are none) until interrupted."""
    urls = list(urls) or addresses(Path(values["data_dir"]))
    before, since = scrape(urls), time.monotonic()
    if once:
        console.print(table(before, {}, 1.0))
        return
    with Live(table(before, {}, 1.0), console=console, refresh_per_second=2) as live:
        try:
            while True:
                time.sleep(1.0)
                now, at = scrape(urls), time.monotonic()
                live.update(table(now, before, at - since))
                before, since = now, at
        except KeyboardInterrupt:
            return


def addresses(directory: Path) -> list[str]:
    """Return the metrics addresses that `funnel up` wrote, none if it does not run."""
    try:
        return (directory / ADDRESSES).read_text().split()
    except FileNotFoundError:
        return []


def scrape(urls: Sequence[str]) -> Samples:
    """Return the sums of all samples by name and labels; processes that do not answer add nothing."""
    samples: Samples = defaultdict(float)
    for url in urls:
        try:
            text = httpx.get(url, timeout=2.0).text
        except httpx.HTTPError:
            continue
        samples["processes"] += 1
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(sample.labels[name] for name in sorted(sample.labels))
                samples[f"{sample.name}{{{labels}}}"] += sample.value
    return samples


def quantile(samples: Mapping[str, float], histogram: str, share: float) -> float:
    """Return an upper bound of a histogram's quantile: the bucket in which it lies; 0 without observations."""
    prefix = f"{histogram}_bucket{{"
    buckets = sorted(
        (float(name[len(prefix) : -1]), count) for name, count in samples.items() if name.startswith(prefix)
    )
    total = buckets[-1][1] if buckets else 0.0
    return next((edge for edge, count in buckets if total and count >= share * total), 0.0)


def table(now: Mapping[str, float], before: Mapping[str, float], seconds: float) -> Table:
    """Return the table of what is counted, the rate since the last look, and the gauges."""
    shown = Table("what", "total", "per second", title=f"funnel: {int(now.get('processes', 0))} processes")
    for label, prefix in (
        ("accepted by the collector", "funnel_collector_accepted_total{"),
        ("refused by the collector", "funnel_collector_rejected_total{"),
        ("received by workers", "funnel_worker_records_received_total{"),
        ("journal rows", "funnel_worker_journal_rows_total{"),
        ("duplicates", "funnel_worker_duplicates_total{"),
        ("rejects", "funnel_worker_rejects_total{"),
        ("hops", "funnel_worker_hops_total{"),
    ):
        total, former = _sum(now, prefix), _sum(before, prefix)
        shown.add_row(label, f"{total:,.0f}", f"{(total - former) / seconds:,.0f}" if before else "")
    shown.add_section()
    for topic in sorted(name for name in now if name.startswith("funnel_worker_lag_records{")):
        name = topic.removeprefix("funnel_worker_lag_records{").removesuffix("}")
        age = now.get(f"funnel_worker_lag_seconds{{{name}}}", 0.0)
        shown.add_row(f"lag of {name}", f"{now[topic]:,.0f} records", f"{age:,.1f} s")
    p99 = quantile(now, "funnel_worker_end_to_end_seconds", 0.99)
    shown.add_row("record to journal, p99 at most", f"{p99:g} s", "")
    return shown


def _sum(samples: Mapping[str, float], prefix: str) -> float:
    return sum(value for name, value in samples.items() if name.startswith(prefix))
