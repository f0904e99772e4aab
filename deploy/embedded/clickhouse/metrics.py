"""The front's metrics, served on loopback in Prometheus' text format if a port is given."""

from prometheus_client import CollectorRegistry, start_http_server

from schemas.metrics import FrontMetrics


def make_metrics() -> tuple[FrontMetrics, CollectorRegistry]:
    """Return the metrics of one server process in a registry of their own."""
    registry = CollectorRegistry()
    return FrontMetrics.create(registry), registry


def serve(registry: CollectorRegistry, port: int) -> None:
    """Answer GET /metrics on the loopback address, from a thread of its own."""
    start_http_server(port, addr="127.0.0.1", registry=registry)
