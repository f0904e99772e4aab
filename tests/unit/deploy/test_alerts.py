"""The alerts of deploy/prometheus: Prometheus' own tool says when each fires and when not; each has a runbook that names it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from deploy.settings import read_settings
from schemas.metrics import CollectorMetrics, ProbeMetrics, SpoolMetrics, WorkerMetrics

ROOT = Path(__file__).resolve().parents[3]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
ANSWERS = 'funnel_collector_answers_total{{endpoint="pixel",status="{}"}}'
ON_TIME = 'funnel_worker_end_to_end_seconds_bucket{le="30.0"}'
ALL = "funnel_worker_end_to_end_seconds_count"
LAG = 'funnel_worker_lag_records{topic="clicks"}'
AGE = 'funnel_worker_lag_seconds{topic="clicks"}'
FLUSHES = "funnel_worker_flushes_total"
REJECTS = 'funnel_worker_rejects_total{topic="clicks",reason="invalid"}'
RECEIVED = 'funnel_worker_records_received_total{topic="clicks"}'
LAST_PROBE = "funnel_probe_last_success_timestamp_seconds"
Series = dict[str, str]


class Case(NamedTuple):
    """Series, one value a minute, that make an alert fire, and some that do not."""

    fires: Series
    quiet: Series


def answers(good: str, bad: str) -> Series:
    return {ANSWERS.format(200): good, ANSWERS.format(503): bad}


def one(name: str, fires: str, quiet: str) -> Case:
    return Case({name: fires}, {name: quiet})


CASES = {
    "FunnelCollectorErrorsFast": Case(answers("0+970x120", "0+30x120"), answers("0+9995x120", "0+5x120")),
    # What was wrong long ago and is mended does not wake anybody up.
    "FunnelCollectorErrorsSlow": Case(
        answers("0+990x120", "0+10x120"), answers("0+990x120", "0+30x50 1500x100")
    ),
    "FunnelCollectorErrorsCreeping": Case(
        answers("0+9980x120", "0+20x120"), answers("0+9995x120", "0+5x120")
    ),
    "FunnelEventsLateFast": Case(
        {ON_TIME: "0+80x120", ALL: "0+100x120"}, {ON_TIME: "0+99x120", ALL: "0+100x120"}
    ),
    "FunnelEventsLateSlow": Case(
        {ON_TIME: "0+90x120", ALL: "0+100x120"}, {ON_TIME: "0+99x120", ALL: "0+100x120"}
    ),
    "FunnelEventsLateCreeping": Case(
        {ON_TIME: "0+980x120", ALL: "0+1000x120"}, {ON_TIME: "0+995x120", ALL: "0+1000x120"}
    ),
    "FunnelLedgerGap": one('funnel_worker_ledger_gap_offsets{topic="clicks"}', "1x120", "0x120"),
    "FunnelLedgerOverlap": one('funnel_worker_ledger_overlap_offsets{topic="clicks"}', "1x120", "0x120"),
    "FunnelLagGrowing": one(LAG, "0+1000x120", "500000-1000x120"),
    "FunnelNoProgress": Case({LAG: "5x120", FLUSHES: "7x120"}, {LAG: "5x120", FLUSHES: "0+1x120"}),
    # 450,000 records fewer by 10 a minute: a month. By 1,000 a minute: less than an hour.
    "FunnelDrainTooSlow": Case(
        {LAG: "450000-10x120", AGE: "7200x120"}, {LAG: "450000-1000x120", AGE: "7200x120"}
    ),
    "FunnelProbeAbsent": Case({LAST_PROBE: "0+60x10 600x110"}, {LAST_PROBE: "0+60x120"}),
    "FunnelRejects": Case(
        {REJECTS: "0+2x120", RECEIVED: "0+1000x120"}, {REJECTS: "0+1x120", RECEIVED: "0+2000x120"}
    ),
    "FunnelWritesFail": one('funnel_worker_retries_total{operation="insert"}', "0+2x120", "0x50 1x70"),
    "FunnelSpoolGrowing": one("funnel_collector_spool_bytes", "0+100x120", "100000-100x120"),
    "FunnelHotWindowMemory": one(
        'funnel_worker_state_bytes{instance="a"}', "3000000000x120", "1000000000x120"
    ),
}

BESIDES = [
    ("FunnelWritesFail", one('funnel_worker_retries_total{operation="derive"}', "0+2x120", "0x50 1x70")),
    # Nobody probes; and a probe that has begun two minutes ago.
    ("FunnelProbeAbsent", Case({"up": "1x120"}, {LAST_PROBE: "_x88 5280+60x30"})),
    (
        "FunnelHotWindowMemory",
        one('funnel_worker_ids_forgotten_early{instance="a"}', "0x50 3x70", "0x120"),
    ),
]
"""For alerts with several reasons, the others."""


def rules() -> list[dict[str, Any]]:
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}


def test_every_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert set(CASES) == set(ALERTS)


@pytest.mark.skipif(
    shutil.which("promtool") is None and not os.environ.get("CI"),
    reason="promtool is not on this machine (apt: prometheus)",
)
@pytest.mark.parametrize("side", Case._fields)
def test_alerts_fire_when_they_should_and_only_then(side: str, tmp_path: Path) -> None:
    groups = []
    for name, case in (*CASES.items(), *BESIDES):
        query = f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) > bool 0 or vector(0)'
        expected = [{"labels": "{}", "value": int(side == "fires")}]
        test = {"expr": query, "eval_time": "90m", "exp_samples": expected}
        series = [{"series": key, "values": values} for key, values in getattr(case, side).items()]
        groups.append({"name": name, "interval": "1m", "input_series": series, "promql_expr_test": [test]})
    cases = tmp_path / "cases.yml"
    with cases.open("w") as file:
        YAML(typ="safe").dump(
            {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": groups}, file
        )
    done = subprocess.run(
        ["promtool", "test", "rules", str(cases)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_and_a_runbook_that_names_it(name: str) -> None:
    rule = ALERTS[name]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert f"`{name}`" in (ROOT / rule["annotations"]["runbook"]).read_text()


def test_every_metric_of_the_rules_is_one_of_ours() -> None:
    registry = CollectorRegistry()
    for metrics in (CollectorMetrics, SpoolMetrics, WorkerMetrics, ProbeMetrics):
        metrics.create(registry)
    known = {family.name for family in registry.collect()}
    named = {name for rule in rules() for name in re.findall(r"\bfunnel_\w+", rule["expr"])}
    assert {re.sub("_(total|bucket|count)$", "", name) for name in named} <= known


def test_failures_are_counted_from_zero() -> None:
    registry = CollectorRegistry()
    WorkerMetrics.create(registry)
    for operation in ("insert", "derive"):
        labels = {"operation": operation}
        assert registry.get_sample_value("funnel_worker_retries_total", labels) == 0


def test_the_rules_know_how_long_kafka_keeps_records() -> None:
    expression = next(
        rule["expr"] for rule in rules() if rule.get("record") == "funnel:kafka_retention_seconds"
    )
    assert expression == f"vector({read_settings({})['retention_hours'] * 3600})"
