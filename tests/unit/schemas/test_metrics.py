"""Names of metrics as Prometheus' own linter wants them, and every one of them in one file."""

import ast
import dataclasses
import re
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from schemas.metrics import (
    CollectorMetrics,
    DashboardMetrics,
    FrontMetrics,
    ProbeMetrics,
    SpoolMetrics,
    WorkerMetrics,
)
from schemas.rejects import REASONS
from schemas.timings import Timings
from schemas.topics import TOPICS

Metric = MetricWrapperBase | Timings

ROOT = Path(__file__).resolve().parents[3]
GROUPS = (CollectorMetrics, SpoolMetrics, WorkerMetrics, DashboardMetrics, FrontMetrics, ProbeMetrics)
# What a label may be: names from code or configuration, never ids, which would make a series each.
LABELS = {
    "kind",
    "reason",
    "verdict",
    "endpoint",
    "status",
    "topic",
    "stage",
    "rollup",
    "operation",
    "table",
    "question",
}
FOREIGN_UNITS = {
    "ms",
    "millis",
    "milliseconds",
    "minutes",
    "hours",
    "percent",
    "kb",
    "mb",
    "kilobytes",
    "megabytes",
}


def metrics() -> list[Metric]:
    """Every metric, in one registry: two of the same name would be refused."""
    registry = CollectorRegistry()
    groups = [group.create(registry) for group in GROUPS]
    return [getattr(group, field.name) for group in groups for field in dataclasses.fields(group)]


METRICS = metrics()


def name(metric: Metric) -> str:
    """The metric's name in the source: without the ``_total`` that the library appends to counters."""
    return str(metric._name)


@pytest.mark.parametrize("metric", METRICS, ids=name)
def test_names_are_ours_and_in_base_units(metric: Metric) -> None:
    assert re.fullmatch(r"funnel_(collector|worker|clickhouse|dashboard|probe)(_[a-z]+)+", name(metric))
    assert not set(name(metric).split("_")) & FOREIGN_UNITS


@pytest.mark.parametrize("metric", METRICS, ids=name)
def test_only_counters_end_in_total_and_only_histograms_have_buckets(metric: Metric) -> None:
    exposed = {sample.name for family in metric.collect() for sample in family.samples}
    if isinstance(metric, Counter):
        assert not name(metric).endswith("_total")
        assert all(sample.endswith(("_total", "_created")) for sample in exposed)
    elif isinstance(metric, Histogram | Timings):
        assert name(metric).endswith(("_seconds", "_records", "_bytes"))
    else:
        assert isinstance(metric, Gauge)
        assert not name(metric).endswith(("_total", "_count", "_sum", "_bucket"))


@pytest.mark.parametrize("metric", METRICS, ids=name)
def test_labels_are_few_and_no_ids(metric: Metric) -> None:
    assert set(metric._labelnames) <= LABELS


@pytest.mark.parametrize("metric", METRICS, ids=name)
def test_each_says_what_an_operator_learns(metric: Metric) -> None:
    assert re.fullmatch(r"[A-Z].{10,}\.", metric._documentation)


def test_no_other_file_makes_metrics() -> None:
    makers = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    found = []
    for package in ("schemas", "streams", "sinks", "collector", "dashboard", "simulator", "deploy"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            imported = {
                alias.asname or alias.name
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom) and node.module == "prometheus_client"
                for alias in node.names
            }
            calls = {
                node.func.id
                for node in ast.walk(tree)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            if calls & imported & makers:
                found.append(path.relative_to(ROOT).as_posix())
    assert found == ["schemas/metrics.py"]


def test_rejects_are_counted_from_zero() -> None:
    """A series that begins at 1 has not increased, for Prometheus."""
    registry = CollectorRegistry()
    WorkerMetrics.create(registry)
    for topic in TOPICS:
        for reason in REASONS:
            labels = {"topic": topic, "reason": reason}
            assert registry.get_sample_value("funnel_worker_rejects_total", labels) == 0


def test_the_reasons_are_those_of_the_rules() -> None:
    chapter = (ROOT / "docs" / "rules.md").read_text().partition("## 2. Rejects")[2].partition("## 3.")[0]
    ruled = re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE)
    assert {*ruled, "conflict"} == set(REASONS)
