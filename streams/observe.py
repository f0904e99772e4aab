"""What a worker tells Prometheus about flushes, state and lag."""

from collections.abc import Mapping

import polars as pl

from schemas.metrics import WorkerMetrics
from schemas.topics import TOPICS
from streams.state.partition import PartitionState
from streams.unit import Line, Outcome

SAMPLES = 32
"""End-to-end latencies observed per flush: every event would cost more than the flush."""


def observe_flush(metrics: WorkerMetrics, outcome: Outcome, now_ms: float) -> None:
    """Account a flush that has landed at ``now_ms``."""
    metrics.flushes.inc()
    metrics.flush_rows.observe(len(outcome.record_times))
    for (topic, _), tally in outcome.tallies.items():
        metrics.received.labels(topic=topic).inc(tally.received)
        metrics.journaled.labels(topic=topic).inc(tally.journaled)
        metrics.duplicates.labels(topic=topic).inc(tally.duplicates)
    for frame in outcome.frames:
        if frame.height:
            metrics.journal_rows.labels(kind=frame["kind"][0]).inc(frame.height)
        if "reason" in frame.columns:
            _observe_rejects(metrics, frame)
    for stage, seconds in outcome.seconds.items():
        metrics.process_seconds.labels(stage=stage).inc(seconds)
    for record_time in outcome.record_times.gather_every(max(1, len(outcome.record_times) // SAMPLES)):
        metrics.end_to_end_seconds.observe(max(0.0, (now_ms - record_time) / 1000))


def _observe_rejects(metrics: WorkerMetrics, frame: pl.DataFrame) -> None:
    by_topic = frame.group_by(pl.col("_source").str.split("/").list.get(-2).alias("topic"), "reason").len()
    for topic, reason, count in by_topic.iter_rows():
        metrics.rejects.labels(topic=topic, reason=reason).inc(count)


def observe_lag(
    metrics: WorkerMetrics,
    high_watermarks: Mapping[Line, int],
    landed: Mapping[Line, tuple[int, int]],
    now_ms: float,
) -> None:
    """Set lag per topic. ``landed``: per line, the next offset that has not landed and the record time (ms) of the newest that has."""
    for topic in TOPICS:
        behind = {
            line: high_watermarks[line] - offset
            for line, (offset, _) in landed.items()
            if line[0] == topic and line in high_watermarks and high_watermarks[line] > offset
        }
        metrics.lag_records.labels(topic=topic).set(sum(behind.values()))
        ages = [now_ms - landed[line][1] for line in behind if landed[line][1]]
        metrics.lag_seconds.labels(topic=topic).set(max(ages, default=0.0) / 1000)


def observe_state(metrics: WorkerMetrics, states: Mapping[int, PartitionState]) -> None:
    """Set the sizes of what is held in memory."""
    held = list(states.values())
    entries = {
        "ids": sum(seen.count for state in held for seen in state.ids.values()),
        "touches": sum(state.touches.rows for state in held),
        "transactions": sum(len(state.transactions.by_key) for state in held),
        "requests": sum(len(state.requests.by_key) for state in held),
        "claims": sum(len(state.links.keys) for state in held),
        "pairs": sum(state.links.pairs for state in held),
        "credits": sum(state.requests.credits.rows for state in held),
    }
    for table, count in entries.items():
        metrics.state_entries.labels(table=table).set(count)
    metrics.state_bytes.labels(table="ids").set(
        sum(seen.nbytes for state in held for seen in state.ids.values())
    )
    metrics.state_bytes.labels(table="touches").set(sum(state.touches.nbytes for state in held))
    metrics.state_bytes.labels(table="credits").set(sum(state.requests.credits.nbytes for state in held))
    metrics.state_bytes.labels(table="pairs").set(sum(state.links.nbytes for state in held))
    metrics.persons_apart.set(sum(state.links.apart for state in held))
    metrics.ids_forgotten_early.set(
        sum(seen.forgotten_early for state in held for seen in state.ids.values())
    )
