"""`funnel attribution apply`: a new version credits what was journaled before it, as if workers had credited under it from the beginning.

file      linear 2          linear 2 and 3                                   linear 2 and 3
worker    ───────────────▶  ──────────────▶ stopped                          ──────────────▶
credits 3                   new and late    apply ✗ apply ✗ … apply: the rest new and late
oracle                                      differs          equal           equal
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from deploy.attribution import Application, apply_version, chosen
from deploy.embedded.broker import Broker
from deploy.offline import OfflineError
from deploy.settings import attribution_models, read_settings
from deploy.verification import compare_now
from schemas.attribution import HOUR_MS, Model
from simulator.generate import generate
from simulator.mess import Mess
from simulator.report import Report
from simulator.send import send_to_kafka
from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import NotOwner
from sinks.clickhouse.grains import DAY
from sinks.clickhouse.history import History
from sinks.clickhouse.owners import write_owners
from sinks.clickhouse.rebuild import journaled_sources
from streams.applying import missing_credits
from tests.support import MakeBroker, Running, drain, funnel

SKEW = {"skew_seconds": 60}
# The versions that come with funnel: the stack's own worker has registered them.
FIRST = {"model": "linear", "version": 2, "rule": "linear", "lookback_hours": {"click": 720}} | SKEW
# The impressions of joined visitors are sent on only while some model looks at impressions (docs/attribution.md).
TOUCH = {
    **{"model": "last_touch", "version": 2, "rule": "last"} | SKEW,
    "lookback_hours": {"click": 720, "impression": 24},
}
SECOND = FIRST | {
    "version": 3,
    "skew_seconds": 120,
    "lookback_hours": {"click": 200, "impression": 100, "lead": 50},
    "direct": "last_resort",
}
PAYOUT = {
    **{"model": "payout", "version": 2, "purpose": "payout", "rule": "last"} | SKEW,
    **{"lookback_hours": {"click": 720}, "channels": ["affiliate"]},
}
LEDGER = "SELECT count(), sum(sign * weight), sum(sign * value) FROM journal WHERE kind = 'credit' AND model_version = 3"


def credit_under(running: Running, *models: dict[str, Any]) -> None:
    """Let whatever starts from now on find ``models`` in its file."""
    file = Path(running.stack.directory) / f"attribution-{len(models)}.json"
    file.write_text(json.dumps({"models": models}))
    running.stack.environ = {**running.stack.environ, "FUNNEL_ATTRIBUTION_FILE": str(file)}
    running.values = read_settings(running.stack.settings())


def work(running: Running, seed: int, events: int) -> None:
    """Let a worker process some events and whatever else waits; stop it."""
    worker = running.stack.start_worker()
    try:
        items = list(generate(seed, events, int(time.time() * 1000), Mess()))
        send_to_kafka(items, running.values["kafka"])
        drain(running.values)
    finally:
        worker.child.stop()


def verified(running: Running) -> tuple[Report, str]:
    console = Console(width=200, record=True)
    report = compare_now(running.values, console, None)
    return report, console.export_text()


def assert_exact(running: Running) -> None:
    report, said = verified(running)
    assert report.ok, said


@pytest.fixture(scope="module")
def make_broker() -> MakeBroker:
    """One kind is enough: nothing here depends on what a broker is like."""
    return Broker


@pytest.fixture(scope="module")
def running(running: Running) -> Running:
    """Conversions of before version 3, and of after it; no worker runs."""
    running.stack.processes["worker"].child.stop()
    credit_under(running, FIRST, TOUCH, PAYOUT)
    work(running, 21, 700)
    credit_under(running, FIRST, TOUCH, PAYOUT, SECOND)
    work(running, 22, 300)
    return running


def nobody(_bootstrap: str, _group: str) -> list[str]:
    return []


def application(running: Running, journal: Connection) -> Application:
    model = chosen(attribution_models(running.values), "linear", None)
    assert model.version == 3
    return Application(running.values, journal, model)


class Dying:
    """A step in which the process dies, after that many times in which it did not."""

    def __init__(self, step: Callable[..., Any], times: int) -> None:
        self.step = step
        self.times = times

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not self.times:
            raise InterruptedError
        self.times -= 1
        return self.step(*arguments, **named)


def in_force(journal: Connection) -> int:
    sql = "SELECT model_version FROM attribution_versions WHERE model = 'linear' AND in_force"
    return int(journal.query(sql)[0][0])


def test_a_version_is_applied_to_what_was_before_it(
    running: Running, journal: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    [before] = journal.query(LEDGER)
    report, _ = verified(running)
    assert "credits in force" in {check.name for check in report.checks if not check.ok}, "partly covered"

    dry = funnel(running, "attribution", "apply", "linear", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "linear 3: would issue " in dry.stdout
    assert journal.query(LEDGER) == [before]

    monkeypatch.setattr("streams.applying.REQUESTS", 40)
    monkeypatch.setattr("deploy.attribution.BLOCK", 10)
    # It dies before a block, between two rollups, and before the version is in force.
    for name, times in (("pack_block", 2), ("restate_version", 1), ("put_in_force", 0)):
        where = {"pack_block": "sinks.clickhouse.journal"}.get(name, "deploy.attribution")
        one = application(running, journal)
        one.stop_workers(nobody)
        with monkeypatch.context() as patched:
            module = __import__(where, fromlist=[name])
            patched.setattr(module, name, Dying(getattr(module, name), times))
            with pytest.raises(InterruptedError):
                apply_version(one, dry_run=False)
        assert in_force(journal) == 2, name
    [(rows, *_)] = journal.query(LEDGER)
    assert rows > before[0]

    done = funnel(running, "attribution", "apply", "linear")
    assert done.returncode == 0, done.stderr
    assert in_force(journal) == 3
    assert_exact(running)
    [after] = journal.query(LEDGER)
    again = funnel(running, "attribution", "apply", "linear", "--version", "3")
    assert "linear 3: issued 0 credits, took 0 back" in again.stdout, again.stderr
    assert journal.query(LEDGER) == [after]

    listed = funnel(running, "attribution", "list")
    assert listed.returncode == 0, listed.stderr
    lines = [line.split() for line in listed.stdout.splitlines() if "linear" in line]
    assert [line.count("yes") for line in lines] == [1, 2], listed.stdout

    work(running, 23, 200)
    assert_exact(running)


def test_a_worker_that_comes_back_meanwhile_ends_it(running: Running, journal: Connection) -> None:
    """Under another owner neither credits land, nor does a rollup take them over, nor is the version put in force."""
    one = application(running, journal)
    one.stop_workers(nobody)
    rows = credits_of_one(journal)
    [before] = journal.query(LEDGER)
    write_owners(journal, journaled_sources(journal), 99)
    with pytest.raises(NotOwner):
        one.land(rows)
    with pytest.raises(NotOwner):
        one.restate(DAY)
    with pytest.raises(OfflineError, match="a worker has taken over"):
        one.put_in_force()
    assert journal.query(LEDGER) == [before]


def credits_of_one(journal: Connection) -> pl.DataFrame:
    """Credit rows that a version of other settings than the registered ones would issue."""
    model = Model("linear", 4, "linear", (("click", 720 * HOUR_MS),))
    rows = next(missing_credits(History(journal), model, 20, 0, 1))
    assert rows.height and (rows["sign"] == 1).all()
    return rows


def test_refuses_while_the_group_has_members(running: Running, journal: Connection) -> None:
    with pytest.raises(OfflineError, match="workers are running"):
        application(running, journal).stop_workers(lambda *_: ["funnel-worker at /10.0.0.7"])


def test_a_version_that_is_not_in_the_file() -> None:
    with pytest.raises(OfflineError, match="linear 7 is not in the models file"):
        chosen(attribution_models(read_settings({})), "linear", 7)
