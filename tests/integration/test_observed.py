"""A real Prometheus and Grafana's own questions over a running pipeline: everything that rules and dashboards name is there.

collector, worker, page, ClickHouse's front ──scrape──▶ Prometheus ◀── rules.yml, Grafana's expressions
                              ClickHouse (reader, HTTP) ◀── Grafana's SQL, its macros written out
"""

import asyncio
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from deploy.embedded.ports import free_port
from deploy.embedded.supervise import Child
from deploy.grafana.__main__ import rendered
from deploy.probe import Probe, ProbeFailed
from deploy.scrape import scrape, total
from deploy.settings import ProbeSettings, clickhouse_settings
from schemas.probe import PROBE_AGENT
from simulator.generate import generate
from simulator.mess import Mess
from simulator.send import CollectorTarget, send_to_collector
from sinks.clickhouse.client import Connection
from tests.support import Running, drain, funnel
from tests.unit.deploy.test_grafana import panels

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
PATIENCE = 90.0
EVENTS = 1_500
NAME = re.compile(r"\bfunnel[_:][a-z0-9_:]+")
pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None and not os.environ.get("CI"),
    reason="prometheus is not on this machine (apt: prometheus)",
)


class Prometheus:
    """Debian's, over our rules, scraping the processes of a stack every second."""

    def __init__(self, folder: Path, targets: dict[str, str]) -> None:
        self.folder, self.targets = folder, targets
        self.url = f"http://127.0.0.1:{free_port()}"
        self.child = Child("prometheus", self._command(), folder / "prometheus.log")

    def start(self) -> None:
        yaml = YAML(typ="safe")
        config = yaml.load((FOLDER / "prometheus.yml").read_text())
        config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(FOLDER / "rules.yml")]
        # The names of containers are not known here; the jobs are the same.
        config["scrape_configs"] = [
            {"job_name": job["job_name"], "static_configs": [{"targets": [self.targets[job["job_name"]]]}]}
            for job in config["scrape_configs"]
            if job["job_name"] in self.targets
        ]
        with (self.folder / "prometheus.yml").open("w") as file:
            yaml.dump(config, file)
        self.child.start(self._is_ready, PATIENCE)

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, trust_env=False, timeout=30)
        said = answer.json()
        assert said["status"] == "success", said
        return said["data"]

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _command(self) -> list[str]:
        address = self.url.removeprefix("http://")
        return [
            *("prometheus", f"--config.file={self.folder / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address={address}"),
        ]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Over the embedded broker: what is observed does not depend on it."""
    one = Running(tmp_path_factory.mktemp("observed") / "stack")
    try:
        one.start()
        one.stack.start_worker()
        yield one
    finally:
        one.stack.stop()


def probed(metrics: str) -> bool:
    """Whether an event of the probe has come through."""
    samples, _ = scrape([metrics])
    return total(samples, "funnel_probe_last_success_timestamp_seconds") > 0


@pytest.fixture(scope="module")
def pipeline(running: Running) -> Running:
    """Events have come through the front door, some of them wrong, and somebody has looked at the page."""
    stack = running.stack
    stack.start_collector()
    stack.start_dashboard()
    stack.start("probe", "probe", probed)
    target = CollectorTarget(
        stack.collector_url,
        token=running.values["tokens"][0],
        link_key=running.values["link_keys"][0],
        hit_every=5,
    )
    items = generate(31, EVENTS, int(time.time() * 1000), Mess())
    asyncio.run(send_to_collector(items, target, running.values["kafka"]))
    httpx.get(f"{stack.collector_url}/c/no-such-link", trust_env=False)
    httpx.get(f"{stack.collector_url}/postback?partner=nobody", trust_env=False)
    httpx.get(stack.dashboard_url, trust_env=False).raise_for_status()
    drain(running.values)
    return running


@pytest.fixture(scope="module")
def prometheus(pipeline: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    targets = {name: address.split("/")[2] for name, address in pipeline.stack.metrics.items()}
    one = Prometheus(tmp_path_factory.mktemp("prometheus"), targets)
    try:
        one.start()
        yield one
    finally:
        one.child.stop()


def expressions() -> list[str]:
    """What the rules and the panels ask Prometheus."""
    rules = YAML(typ="safe").load((FOLDER / "rules.yml").read_text())
    own = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    asked = [
        target["expr"]
        for _, text in rendered()
        for panel in panels(text)
        for target in panel["targets"]
        if "expr" in target
    ]
    return [*own, *asked]


def questions() -> list[str]:
    """What the panels and the variables ask ClickHouse."""
    found = []
    for _, text in rendered():
        board = json.loads(text)
        found += [
            target["rawSql"] for panel in panels(text) for target in panel["targets"] if "rawSql" in target
        ]
        found += [variable["query"] for variable in board["templating"].get("list", ())]
    return found


def commands() -> list[str]:
    """What runbooks tell whoever is on call to type."""
    return sorted(
        {
            line
            for path in (ROOT / "docs" / "runbooks").glob("*.md")
            for block in re.findall(r"^```sh\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)
            for line in block.splitlines()
        }
    )


def written_out(sql: str) -> str:
    """What the plug-in for ClickHouse makes of its macros, and Grafana of its variable: the last thirty days, in euros."""
    now = int(time.time())
    for macro, meaning in {
        "$__fromTime": f"toDateTime({now - 30 * 86_400})",
        "$__toTime": f"toDateTime({now})",
        "${currency:sqlstring}": "'EUR'",
    }.items():
        sql = sql.replace(macro, meaning)
    assert "$" not in sql, sql
    return sql


def test_every_process_is_scraped(prometheus: Prometheus) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        targets = {one["labels"]["job"]: one["health"] for one in prometheus.ask("targets")["activeTargets"]}
        if set(targets.values()) == {"up"}:
            break
        assert time.monotonic() < deadline, targets
        time.sleep(0.5)
    assert {"collector", "worker", "dashboard", "probe"} <= set(targets)


def test_every_metric_that_rules_and_panels_name_is_there(prometheus: Prometheus) -> None:
    named = {name for expression in expressions() for name in NAME.findall(expression)}
    assert len(named) > 40
    deadline = time.monotonic() + PATIENCE
    while missing := named - set(prometheus.ask("label/__name__/values")):
        assert time.monotonic() < deadline, f"nothing is called {sorted(missing)}"
        time.sleep(0.5)


def test_no_rule_fails_and_no_alert_fires(prometheus: Prometheus) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        if all(rule["health"] == "ok" for rule in rules):
            break
        assert time.monotonic() < deadline, [rule for rule in rules if rule["health"] != "ok"]
        time.sleep(0.5)
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []


@pytest.mark.parametrize("expression", [one for one in expressions() if "$__" in one])
def test_prometheus_understands_the_panel(prometheus: Prometheus, expression: str) -> None:
    prometheus.ask("query", query=expression.replace("$__rate_interval", "1m"))


@pytest.mark.parametrize("sql", questions())
def test_clickhouse_answers_the_panel(pipeline: Running, sql: str) -> None:
    """As the reader and over HTTP, as Grafana does it; with something in it."""
    stack = pipeline.stack
    settings = clickhouse_settings(pipeline.values)
    user, _, password = stack.curl_options.read_text().split('"')[1].partition(":")
    answer = httpx.post(
        f"http://{stack.clickhouse.host}:{stack.clickhouse.http_port}/",
        params={"database": settings.database, "default_format": "JSONCompact"},
        content=written_out(sql),
        auth=(user, password),
        trust_env=False,
        timeout=60,
    )
    assert answer.is_success, answer.text
    assert answer.json()["data"], "no rows"


@pytest.mark.parametrize("command", commands())
def test_the_runbooks_commands_work(pipeline: Running, command: str) -> None:
    program, *arguments = shlex.split(command)
    assert program == "funnel"
    done = funnel(pipeline, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_probe_is_an_event_and_in_no_number(pipeline: Running, journal: Connection) -> None:
    """It is a bot's, so the figures of docs/bi.md leave it out."""
    shown = "SELECT sum(impressions) FROM funnel_daily WHERE first_currency = 1"
    kept = "SELECT count(), min(bot) FROM journal WHERE kind = 'impression' AND campaign = 'funnel-probe'"
    before, [(events, _)] = journal.query(shown), journal.query(kept)
    with httpx.Client(headers={"User-Agent": PROBE_AGENT}, trust_env=False) as client:
        assert Probe(ProbeSettings(pipeline.stack.collector_url, 60.0, PATIENCE), client, journal).once() > 0
    drain(pipeline.values)
    assert journal.query(kept) == [(events + 1, 1)]
    assert journal.query(shown) == before


def test_a_probe_says_where_it_failed(pipeline: Running, journal: Connection) -> None:
    with httpx.Client(trust_env=False) as client:
        nobody = ProbeSettings(f"http://127.0.0.1:{free_port()}", 60.0, 1.0)
        with pytest.raises(ProbeFailed, match=r"^send: ConnectError at http"):
            Probe(nobody, client, journal).once()
        nothing = ProbeSettings(f"{pipeline.stack.collector_url}/nothing", 60.0, 1.0)
        with pytest.raises(ProbeFailed, match=r"^send: HTTP 404 from"):
            Probe(nothing, client, journal).once()
        impatient = ProbeSettings(pipeline.stack.collector_url, 60.0, 0.0)
        with pytest.raises(ProbeFailed, match=r"^read: \S+ is not there after 0 s"):
            Probe(impatient, client, journal).once()
