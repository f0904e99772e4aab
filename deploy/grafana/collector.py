"""The dashboard of the front door: who is served, how fast, who is turned away, and what waits on disk."""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from deploy.grafana.panels import Line, board, figure, over_time

_RATE = "[$__rate_interval]"
_OURS = "funnel_collector_"


def collector() -> Dashboard:
    """Return the dashboard."""
    parts = {
        "The objective": [
            figure(
                "Errors, 1 h",
                "Share of requests answered 5xx",
                "percentunit",
                Line("funnel:collector_errors:ratio_1h"),
                0.001,
            ),
            figure(
                "Errors, 6 h",
                "Share of requests answered 5xx",
                "percentunit",
                Line("funnel:collector_errors:ratio_6h"),
                0.001,
            ),
            figure(
                "Accepted", "Events per second", "short", Line(f"sum(rate({_OURS}accepted_total{_RATE}))")
            ),
            figure("Under way", "Requests being answered", "short", Line(f"sum({_OURS}inflight_requests)")),
            figure(
                "On disk",
                "Events that Kafka has not acknowledged",
                "short",
                Line(f"sum({_OURS}spool_records)"),
                0.5,
            ),
            figure("Oldest on disk", "Its age", "s", Line(f"max({_OURS}spool_age_seconds)"), 60),
        ],
        "Requests": [
            over_time(
                "Events",
                "Accepted, per second",
                "short",
                Line(f"sum by (kind) (rate({_OURS}accepted_total{_RATE}))", "{{kind}}"),
            ),
            over_time(
                "Answers",
                "Per second, by status",
                "short",
                Line(f"sum by (status) (rate({_OURS}answers_total{_RATE}))", "{{status}}"),
            ),
            over_time(
                "Time to answer",
                "99 % take no longer",
                "s",
                Line(
                    f"histogram_quantile(0.99, sum by (le, endpoint) (rate({_OURS}request_seconds_bucket{_RATE})))",
                    "{{endpoint}}",
                ),
            ),
            over_time(
                "Time until kept",
                "From handing an event over to its acknowledgement",
                "s",
                Line(
                    f"histogram_quantile(0.5, sum by (le) (rate({_OURS}produce_seconds_bucket{_RATE})))",
                    "half",
                ),
                Line(
                    f"histogram_quantile(0.99, sum by (le) (rate({_OURS}produce_seconds_bucket{_RATE})))",
                    "99 %",
                ),
            ),
        ],
        "Turned away": [
            over_time(
                "Refused",
                "Requests and items per second, by reason",
                "short",
                Line(f"sum by (reason) (rate({_OURS}rejected_total{_RATE}))", "{{reason}}"),
                Line(f"sum(rate({_OURS}unavailable_total{_RATE}))", "nobody to keep them (503)"),
            ),
            over_time(
                "Postbacks",
                "Per second, by verdict",
                "short",
                Line(f"sum by (verdict) (rate({_OURS}postbacks_total{_RATE}))", "{{verdict}}"),
            ),
        ],
        "Spool": [
            over_time(
                "On disk", "Bytes", "bytes", Line(f"sum by (instance) ({_OURS}spool_bytes)", "{{instance}}")
            ),
            over_time(
                "In and out",
                "Events per second",
                "short",
                Line(f"sum(rate({_OURS}spool_spooled_records_total{_RATE}))", "kept on disk"),
                Line(f"sum(rate({_OURS}spool_drained_records_total{_RATE}))", "acknowledged by Kafka since"),
            ),
        ],
    }
    return board(
        "funnel-collector",
        "Funnel: collector",
        "The front door: served, refused, kept on disk.",
        "now-3h",
        parts,
    )
