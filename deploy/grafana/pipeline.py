"""The dashboard for whoever is on call: does what is sent arrive, how late, and what stands in its way."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Line, board, figure, over_time

_RATE = "[$__rate_interval]"
_WORKER = "funnel_worker_"


def pipeline() -> Dashboard:
    """Return the dashboard."""
    parts = {
        "Loss and lag": [
            figure(
                "Lost",
                "Offsets that no flush covers",
                "short",
                Line(f"sum({_WORKER}ledger_gap_offsets)"),
                0.5,
            ),
            figure(
                "Doubled",
                "Offsets that two flushes cover",
                "short",
                Line(f"sum({_WORKER}ledger_overlap_offsets)"),
                0.5,
            ),
            figure("Waiting", "Records not landed yet", "short", Line("funnel:lag_records"), 10_000),
            figure(
                "Behind",
                "Age of the newest landed record where some wait",
                "s",
                Line(f"max({_WORKER}lag_seconds)"),
                30,
            ),
            figure(
                "Late",
                "Share of events in the journal later than 30 s",
                "percentunit",
                Line("funnel:late_events:ratio_1h"),
                0.01,
            ),
            figure("Rejects", "Share of records", "percentunit", Line("funnel:rejects:ratio_10m"), 0.001),
        ],
        "What arrives": [
            over_time(
                "Records",
                "Landed, per second",
                "short",
                Line(f"sum by (topic) (rate({_WORKER}records_received_total{_RATE}))", "{{topic}}"),
            ),
            over_time(
                "From record time to journal",
                "A sample of records",
                "s",
                Line(_quantile(0.5, "end_to_end_seconds"), "half"),
                Line(_quantile(0.99, "end_to_end_seconds"), "99 %"),
            ),
            over_time(
                "Waiting",
                "Records not landed yet",
                "short",
                Line(f"sum by (topic) ({_WORKER}lag_records)", "{{topic}}"),
            ),
            over_time(
                "Duplicates and rejects",
                "Per second",
                "short",
                Line(f"sum(rate({_WORKER}duplicates_total{_RATE}))", "duplicates"),
                Line(f"sum by (reason) (rate({_WORKER}rejects_total{_RATE}))", "{{reason}}"),
            ),
        ],
        "The synthetic probe": [
            over_time(
                "Through the front door and back",
                "A marked event a minute, from sending it to seeing it in ClickHouse",
                "s",
                Line(
                    "rate(funnel_probe_round_trip_seconds_sum[5m]) / rate(funnel_probe_round_trip_seconds_count[5m])",
                    "mean of 5 minutes",
                ),
            ),
            over_time(
                "Probes that failed",
                "In 5 minutes, by stage",
                "short",
                Line("increase(funnel_probe_failures_total[5m])", "{{stage}}"),
            ),
        ],
        "ClickHouse": [
            over_time(
                "Landing a flush",
                "Retries included",
                "s",
                Line(_quantile(0.5, "insert_seconds"), "half"),
                Line(_quantile(0.99, "insert_seconds"), "99 %"),
            ),
            over_time(
                "Deriving",
                "99 % take no longer",
                "s",
                Line(_quantile(0.99, "derive_seconds", "rollup"), "{{rollup}}"),
            ),
            over_time(
                "Tried again",
                "Attempts per second because Kafka or ClickHouse failed",
                "short",
                Line(f"sum by (operation) (rate({_WORKER}retries_total{_RATE}))", "{{operation}}"),
            ),
            over_time(
                "Flushes",
                "Landed, per second, and records per flush",
                "short",
                Line(f"sum(rate({_WORKER}flushes_total{_RATE}))", "flushes"),
                Line(
                    f"sum(rate({_WORKER}flush_records_sum{_RATE})) / sum(rate({_WORKER}flush_records_count{_RATE}))",
                    "records each",
                ),
            ),
        ],
        "Workers": [
            over_time(
                "Memory of the hot window",
                "By worker",
                "bytes",
                Line(f"sum by (instance) ({_WORKER}state_bytes)", "{{instance}}"),
            ),
            over_time(
                "Partitions",
                "Owned, by worker",
                "short",
                Line(f"sum by (instance) ({_WORKER}partitions)", "{{instance}}"),
            ),
            over_time(
                "Processing",
                "CPU seconds per second, by stage",
                "short",
                Line(f"sum by (stage) (rate({_WORKER}process_seconds_total{_RATE}))", "{{stage}}"),
            ),
            over_time(
                "Rebalances",
                "Taken per second, and how long the newest takeover and its restore took",
                "short",
                Line(f"sum(rate({_WORKER}rebalances_total{_RATE}))", "rebalances"),
                Line(f"max({_WORKER}takeover_seconds)", "takeover, seconds"),
                Line(f"max({_WORKER}restore_seconds)", "restore, seconds"),
            ),
        ],
    }
    return board(
        "funnel-pipeline",
        "Funnel: pipeline",
        "From Kafka to ClickHouse: lag, loss and latency.",
        "now-3h",
        parts,
    )


def _quantile(share: float, name: str, by: str = "") -> str:
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({_WORKER}{name}_bucket{_RATE})))"
