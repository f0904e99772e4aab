"""`funnel top`: what the processes say of themselves, live."""

import time
from collections.abc import Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from deploy.scrape import Samples, by_label, quantile, scrape, total

COUNTERS = (
    ("accepted by the collector", "funnel_collector_accepted_total"),
    ("refused by the collector", "funnel_collector_rejected_total"),
    ("answered 503 by the collector", "funnel_collector_unavailable_total"),
    ("spooled by the collector", "funnel_collector_spool_spooled_records_total"),
    ("landed by workers", "funnel_worker_records_received_total"),
    ("journal rows", "funnel_worker_journal_rows_total"),
    ("duplicates", "funnel_worker_duplicates_total"),
    ("rejects", "funnel_worker_rejects_total"),
    ("hops", "funnel_worker_hops_total"),
    ("flushes", "funnel_worker_flushes_total"),
    ("retries", "funnel_worker_retries_total"),
    ("rebalances", "funnel_worker_rebalances_total"),
)
LATENCIES = (
    ("request to answer", "funnel_collector_request_seconds"),
    ("record to journal", "funnel_worker_end_to_end_seconds"),
    ("insert", "funnel_worker_insert_seconds"),
    ("derive", "funnel_worker_derive_seconds"),
)


def top(console: Console, urls: Sequence[str], once: bool) -> None:
    """Show the processes whose metrics are at ``urls`` until interrupted."""
    before, answered = scrape(urls)
    since = time.monotonic()
    if once:
        console.print(table(before, {}, 0.0, answered))
        return
    with Live(table(before, {}, 0.0, answered), console=console, refresh_per_second=2) as live:
        try:
            while True:
                time.sleep(1.0)
                (now, answered), at = scrape(urls), time.monotonic()
                live.update(table(now, before, at - since, answered))
                before, since = now, at
        except KeyboardInterrupt:
            return


def table(now: Samples, before: Samples, seconds: float, processes: int) -> Table:
    """Return the table of counters with their rates since ``before`` (``seconds`` ago; 0: no rates), lag, state and latency."""
    shown = Table("what", "total", "per second", title=f"funnel: {processes} processes answer")
    for label, name in COUNTERS:
        count = total(now, name)
        rate = f"{(count - total(before, name)) / seconds:,.0f}" if seconds else ""
        shown.add_row(label, f"{count:,.0f}", rate)
    shown.add_section()
    ages = by_label(now, "funnel_worker_lag_seconds", "topic")
    for topic, records in by_label(now, "funnel_worker_lag_records", "topic").items():
        shown.add_row(f"lag of {topic}", f"{records:,.0f} records", f"{ages.get(topic, 0.0):,.1f} s")
    shown.add_section()
    for name, size in by_label(now, "funnel_worker_state_bytes", "table").items():
        entries = by_label(now, "funnel_worker_state_entries", "table").get(name, 0.0)
        shown.add_row(f"{name} in memory", f"{entries:,.0f}", f"{size / 2**20:,.1f} MiB")
    shown.add_section()
    for label, name in LATENCIES:
        half, most = quantile(now, name, 0.5), quantile(now, name, 0.99)
        shown.add_row(f"{label}, at most", f"half {half:g} s", f"99 % {most:g} s")
    return shown
