"""`funnel audit` over a real log and journal: whole, then with rows missing and rows too many."""

import time

import pytest

from schemas.topics import TOPICS
from simulator.generate import generate
from simulator.mess import Mess
from simulator.send import send_to_kafka
from sinks.clickhouse.client import Connection
from sinks.clickhouse.owners import write_owners
from streams.broker import describe_cluster
from streams.unit import source_name
from tests.support import PARTITIONS, Running, drain, funnel

EVENTS = 3_000
SETTLED = {"mutations_sync": 2}


@pytest.fixture(scope="module")
def running(running: Running) -> Running:
    """All of it has been processed."""
    send_to_kafka(list(generate(5, EVENTS, int(time.time() * 1000), Mess())), running.values["kafka"])
    drain(running.values)
    return running


def source(running: Running, topic: str) -> str:
    cluster = describe_cluster(running.values["kafka"], TOPICS)
    return source_name(cluster.id, (topic, 0), cluster.topic_ids[topic])


def test_a_whole_journal_accounts_for_every_record(running: Running) -> None:
    done = funnel(running, "audit")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "audited: every record is accounted for\n" in done.stdout
    assert done.stdout.count("agree") == len(TOPICS) * PARTITIONS


def test_rows_that_are_missing_or_doubled_are_named(running: Running, journal: Connection) -> None:
    clicks, leads = source(running, "clicks"), source(running, "leads")
    [(row,)] = journal.query(
        f"SELECT min(_offset) FROM journal WHERE kind = 'click' AND _source = '{clicks}'"
    )
    [(copied,)] = journal.query(
        f"SELECT max(_offset) FROM journal WHERE kind = 'lead' AND _source = '{leads}'"
    )
    journal.execute(
        f"ALTER TABLE journal DELETE WHERE kind = 'click' AND _source = '{clicks}' AND _offset = {row}",
        SETTLED,
    )
    write_owners(journal, [leads], 99)
    journal.execute(
        f"INSERT INTO journal SELECT * REPLACE (99 AS _owner) FROM journal WHERE kind = 'lead' AND _source = '{leads}' AND _offset = {copied}"
    )
    done = funnel(running, "audit")
    assert done.returncode == 1
    assert f"{clicks}: offset " in done.stdout
    assert f"{leads}: offset " in done.stdout
    assert done.stdout.count("agree") == len(TOPICS) * PARTITIONS - 2
