"""Every metric of every process: its name, its unit, and what an operator learns from it. Names begin with ``funnel_``."""

from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from schemas.rejects import REASONS
from schemas.timings import Timings
from schemas.topics import TOPICS

_REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True, slots=True)
class CollectorMetrics:
    """Metrics of a collector process."""

    accepted: Counter
    rejected: Counter
    unavailable: Counter
    postbacks: Counter
    answers: Counter
    request_seconds: Timings
    produce_seconds: Timings
    inflight: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> Self:
        """Return the metrics, registered with ``registry``."""
        return cls(
            accepted=Counter(
                "funnel_collector_accepted",
                "Events that are kept: acknowledged by the broker, or synced to the spool.",
                ["kind"],
                registry=registry,
            ),
            rejected=Counter(
                "funnel_collector_rejected",
                "Requests and batch items refused, by reason.",
                ["reason"],
                registry=registry,
            ),
            unavailable=Counter(
                "funnel_collector_unavailable",
                "Requests answered 503 because neither the broker nor the spool had the event in time.",
                registry=registry,
            ),
            postbacks=Counter(
                "funnel_collector_postbacks",
                "Calls of partners' servers, each of which has left a row, by verdict and reason.",
                ["verdict", "reason"],
                registry=registry,
            ),
            answers=Counter(
                "funnel_collector_answers",
                "Requests answered, by endpoint (empty: a path that is not served) and HTTP status.",
                ["endpoint", "status"],
                registry=registry,
            ),
            request_seconds=Timings(
                "funnel_collector_request_seconds",
                "From the request's head to its answer, by endpoint.",
                "endpoint",
                buckets=_REQUEST_BUCKETS,
                registry=registry,
            ),
            produce_seconds=Timings(
                "funnel_collector_produce_seconds",
                "From handing an event to the producer to its acknowledgement.",
                buckets=_REQUEST_BUCKETS,
                registry=registry,
            ),
            inflight=Gauge(
                "funnel_collector_inflight_requests", "Requests that are being answered.", registry=registry
            ),
        )


@dataclass(frozen=True, slots=True)
class SpoolMetrics:
    """Metrics of a collector's spool; not there without one."""

    in_use: Gauge
    records: Gauge
    bytes: Gauge
    age_seconds: Gauge
    failing: Gauge
    spooled: Counter
    drained: Counter
    damaged: Counter
    sync_seconds: Histogram

    @classmethod
    def create(cls, registry: CollectorRegistry) -> Self:
        """Return the metrics, registered with ``registry``."""

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"funnel_collector_spool_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str) -> Gauge:
            return Gauge(f"funnel_collector_spool_{name}", help_text, registry=registry)

        return cls(
            in_use=gauge(
                "in_use", "Whether events go to disk (1) because Kafka did not acknowledge in time."
            ),
            records=gauge("records", "Events on disk that Kafka has not acknowledged yet."),
            bytes=gauge("bytes", "Bytes on disk, files set aside included: at the bound, answers are 503."),
            age_seconds=gauge("age_seconds", "Age of the oldest event that is only on disk, 0 without one."),
            failing=gauge("failing", "Whether the newest write failed (1): a full or broken disk."),
            spooled=counter("spooled_records", "Events acknowledged because they are on disk."),
            drained=counter("drained_records", "Events from disk that Kafka has acknowledged."),
            damaged=counter(
                "damaged",
                "What was not whole: torn (an unfinished write, cut off at the start), corrupt or refused (set aside).",
                "reason",
            ),
            sync_seconds=Histogram(
                "funnel_collector_spool_sync_seconds",
                "One fsync: all events that wait share it.",
                buckets=_REQUEST_BUCKETS,
                registry=registry,
            ),
        )


_FLUSH_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_AGE_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
_ROW_BUCKETS = (10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0, 100_000.0, 250_000.0)


@dataclass(frozen=True, slots=True)
class WorkerMetrics:
    """Metrics of a worker process. What counts records counts them when their flush has landed."""

    received: Counter
    journaled: Counter
    journal_rows: Counter
    duplicates: Counter
    rejects: Counter
    hops: Counter
    flushes: Counter
    flush_rows: Histogram
    insert_seconds: Histogram
    process_seconds: Counter
    derive_seconds: Histogram
    retries: Counter
    lag_records: Gauge
    lag_seconds: Gauge
    end_to_end_seconds: Histogram
    state_entries: Gauge
    state_bytes: Gauge
    persons_apart: Gauge
    ids_forgotten_early: Gauge
    rebalances: Counter
    takeover_seconds: Gauge
    restore_seconds: Gauge
    restored_rows: Counter
    partitions: Gauge
    ledger_gaps: Gauge
    ledger_overlaps: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> Self:
        """Return the metrics, registered with ``registry``."""

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"funnel_worker_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(f"funnel_worker_{name}", help_text, labels, registry=registry)

        def histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"funnel_worker_{name}", help_text, labels, buckets=buckets, registry=registry)

        return cls(
            received=counter("records_received", "Records covered by landed flushes, by topic.", "topic"),
            journaled=counter(
                "records_journaled", "Records that became a row of their own, by topic.", "topic"
            ),
            journal_rows=counter("journal_rows", "Rows landed in the journal, by kind.", "kind"),
            duplicates=counter("duplicates", "Records that were there already, by topic.", "topic"),
            rejects=_rejects_from_zero(
                counter(
                    "rejects",
                    "Records kept as rejects: rising means that a sender is broken.",
                    "topic",
                    "reason",
                )
            ),
            hops=counter("hops", "Messages sent to other partitions and acknowledged."),
            flushes=counter("flushes", "Flushes landed; standing still while lag grows means no progress."),
            flush_rows=histogram(
                "flush_records", "Records per flush: near the limit on a backlog.", _ROW_BUCKETS
            ),
            insert_seconds=histogram(
                "insert_seconds",
                "From the first attempt to land a flush to its landing, retries included.",
                _FLUSH_BUCKETS,
            ),
            process_seconds=counter(
                "process_seconds", "CPU seconds of the processing threads, by stage.", "stage"
            ),
            derive_seconds=histogram(
                "derive_seconds", "One derive statement, by rollup.", _FLUSH_BUCKETS, "rollup"
            ),
            retries=_from_zero(
                counter("retries", "Attempts repeated because Kafka or ClickHouse failed.", "operation")
            ),
            lag_records=gauge(
                "lag_records", "Records in the log that are not landed yet, by topic.", "topic"
            ),
            lag_seconds=gauge(
                "lag_seconds",
                "Age of the newest landed record of a topic that is behind, 0 if none is.",
                "topic",
            ),
            end_to_end_seconds=histogram(
                "end_to_end_seconds",
                "From record time to landing in the journal, for a sample of records.",
                _AGE_BUCKETS,
            ),
            state_entries=gauge("state_entries", "Entries held in memory, by table.", "table"),
            state_bytes=gauge("state_bytes", "Bytes held in memory, by table.", "table"),
            persons_apart=gauge(
                "persons_apart",
                "Visitors that are not joined because their person has too many (FUNNEL_PERSON_LIMIT): a shared device or a test address.",
            ),
            ids_forgotten_early=gauge(
                "ids_forgotten_early",
                "Ids forgotten within the deduplication window because of the bound: above 0, duplicates may be counted.",
            ),
            rebalances=counter("rebalances", "Assignments taken; each restores state."),
            takeover_seconds=gauge(
                "takeover_seconds",
                "How long the newest assignment took to take over: until former statements had ended and what must be remembered was restored.",
            ),
            restore_seconds=gauge(
                "restore_seconds", "How long the newest restore took, a part of the takeover."
            ),
            restored_rows=counter(
                "restored_rows", "Rows read from the journal to restore what must be remembered."
            ),
            partitions=gauge("partitions", "Partition numbers owned; 0 on a worker without work."),
            ledger_gaps=gauge(
                "ledger_gap_offsets",
                "Offsets that no flush covers, since this worker took their partition over, by topic: above 0, records were lost.",
                "topic",
            ),
            ledger_overlaps=gauge(
                "ledger_overlap_offsets",
                "Offsets that more than one flush covers, since this worker took their partition over, by topic: above 0, records count twice.",
                "topic",
            ),
        )


def _rejects_from_zero(rejects: Counter) -> Counter:
    for topic in TOPICS:
        for reason in REASONS:
            rejects.labels(topic=topic, reason=reason)
    return rejects


def _from_zero(retries: Counter) -> Counter:
    # A series that begins at 1 has not increased, for Prometheus: the first failure would go unseen.
    for operation in ("insert", "derive"):
        retries.labels(operation=operation)
    return retries


@dataclass(frozen=True, slots=True)
class DashboardMetrics:
    """Metrics of the live page's process."""

    answers: Counter
    question_seconds: Histogram
    failures: Counter
    streams: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> Self:
        """Return the metrics, registered with ``registry``."""
        return cls(
            answers=Counter(
                "funnel_dashboard_answers",
                "Requests answered, by endpoint (empty: a path that is not served) and HTTP status.",
                ["endpoint", "status"],
                registry=registry,
            ),
            question_seconds=Histogram(
                "funnel_dashboard_question_seconds",
                "From asking ClickHouse for a part of the page to its answer, by question.",
                ["question"],
                buckets=_REQUEST_BUCKETS,
                registry=registry,
            ),
            failures=Counter(
                "funnel_dashboard_failed_questions",
                "Questions that ClickHouse did not answer: rising means that people see old numbers.",
                ["question"],
                registry=registry,
            ),
            streams=Gauge(
                "funnel_dashboard_streams", "Open pages that are told of changes.", registry=registry
            ),
        )


@dataclass(frozen=True, slots=True)
class FrontMetrics:
    """Metrics of the embedded ClickHouse's server process. A real server has its own."""

    queries: Counter
    inserts: Counter
    inserted_rows: Counter
    received_bytes: Counter
    sent_bytes: Counter
    exceptions: Counter
    connections: Gauge

    @classmethod
    def create(cls, registry: CollectorRegistry) -> Self:
        """Return the metrics, registered with ``registry``."""

        def counter(name: str, help_text: str) -> Counter:
            return Counter(f"funnel_clickhouse_{name}", help_text, registry=registry)

        return cls(
            queries=counter("queries", "Statements answered or failed."),
            inserts=counter("inserts", "Inserts of clients' blocks that landed."),
            inserted_rows=counter("inserted_rows", "Rows of those inserts."),
            received_bytes=counter("received_bytes", "Bytes of blocks received, decompressed."),
            sent_bytes=counter("sent_bytes", "Bytes sent to clients."),
            exceptions=counter(
                "exceptions", "Statements that failed: rising means that a client asks for what cannot be."
            ),
            connections=Gauge(
                "funnel_clickhouse_connections", "Client connections that are open.", registry=registry
            ),
        )


_TRIP_BUCKETS = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class ProbeMetrics:
    """Metrics of the synthetic probe's process."""

    last_success: Gauge
    round_trip_seconds: Histogram
    failures: Counter

    @classmethod
    def create(cls, registry: CollectorRegistry) -> Self:
        """Return the metrics, registered with ``registry``."""
        failures = Counter(
            "funnel_probe_failures",
            "Probes that were not accepted (send) or not in ClickHouse in time (read).",
            ["stage"],
            registry=registry,
        )
        for stage in ("send", "read"):
            failures.labels(stage=stage)
        return cls(
            last_success=Gauge(
                "funnel_probe_last_success_timestamp_seconds",
                "When an event sent through the front door was last seen in ClickHouse, 0 before the first time.",
                registry=registry,
            ),
            round_trip_seconds=Histogram(
                "funnel_probe_round_trip_seconds",
                "From sending an event to seeing it in ClickHouse.",
                buckets=_TRIP_BUCKETS,
                registry=registry,
            ),
            failures=failures,
        )
