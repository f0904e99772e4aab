"""Another cluster takes the place of the old one: a new id, offsets from 0, the old records mirrored into it before new ones come.

old cluster   |── before ──|✗
new cluster                 |── before, as it was ──|── after ──▶
journal       |── before ──||── duplicates ─────────|── after ──▶
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.broker import Broker
from deploy.embedded.ports import free_port
from deploy.settings import clickhouse_settings
from deploy.topics import create_topics
from simulator.checks.money import money_checks
from simulator.checks.reading import Tables
from simulator.checks.rollup import rollup_checks
from simulator.generate import generate
from simulator.kafka import read_log
from simulator.mess import Mess
from simulator.oracle.compute import compute
from simulator.send import send_to_kafka
from sinks.clickhouse.client import Connection, connect
from tests.support import Running, drain

EVENTS = 400
ORDERLY = Mess(duplicates=0, conflicts=0, malformed=0, misrouted=0)
NUMBERS = {"transactions counted", "credits in force", "rollup: groups", "rollup: unique visitors by group"}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Over the embedded broker at one address: each of its starts is another cluster."""
    one = Running(tmp_path / "stack", lambda logs: Broker(logs, port=free_port()))
    try:
        one.start()
        yield one
    finally:
        one.stack.stop()


@pytest.fixture
def journal(running: Running) -> Iterator[Connection]:
    connection = connect(clickhouse_settings(running.values))
    yield connection
    connection.close()


def work(running: Running, name: str) -> None:
    worker = running.stack.start_worker(name)
    drain(running.values)
    assert worker.child.stop() == 0


def test_what_both_clusters_hold_counts_once(running: Running, journal: Connection) -> None:
    now, bootstrap = int(time.time() * 1000), str(running.values["kafka"])
    before = list(generate(21, EVENTS, now, ORDERLY, run="before"))
    send_to_kafka(before, bootstrap)
    work(running, "first")
    former = running.stack.broker.cluster_id
    running.stack.broker.stop()
    running.stack.broker.start()
    create_topics(running.values)
    send_to_kafka(before, bootstrap)
    send_to_kafka(list(generate(22, EVENTS, now, ORDERLY, run="after")), bootstrap)
    work(running, "second")

    # Whatever the source: rows of the old cluster stand for what the new one holds, too.
    tables = Tables(lambda sql: [tuple(row) for row in journal.query(sql)], ("",))
    result = compute(read_log(bootstrap))
    checks = {check.name: check for check in (*money_checks(result, tables), *rollup_checks(result, tables))}
    assert {name: checks[name].differences for name in NUMBERS if not checks[name].ok} == {}
    duplicates = f"SELECT sum(duplicates) FROM ledger WHERE NOT startsWith(source, '{former}/')"
    assert journal.query(duplicates) == [(len(before),)]
