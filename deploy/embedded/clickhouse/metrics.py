"""What the front counts, served on loopback in Prometheus' text format if a port is given."""

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server


class Metrics:
    """All counters of one server process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queries = Counter(
            "funnel_clickhouse_queries_total", "Statements answered or failed", registry=self.registry
        )
        self.inserts = Counter(
            "funnel_clickhouse_inserts_total",
            "Inserts of clients' blocks that landed",
            registry=self.registry,
        )
        self.inserted_rows = Counter(
            "funnel_clickhouse_inserted_rows_total", "Rows of those inserts", registry=self.registry
        )
        self.received_bytes = Counter(
            "funnel_clickhouse_received_bytes_total",
            "Bytes of blocks received, decompressed",
            registry=self.registry,
        )
        self.sent_bytes = Counter(
            "funnel_clickhouse_sent_bytes_total", "Bytes sent to clients", registry=self.registry
        )
        self.exceptions = Counter(
            "funnel_clickhouse_exceptions_total", "Exceptions sent to clients", registry=self.registry
        )
        self.connections = Gauge(
            "funnel_clickhouse_connections", "Client connections that are open", registry=self.registry
        )


def serve(metrics: Metrics, port: int) -> None:
    """Answer GET /metrics on the loopback address, from a thread of its own."""
    start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
