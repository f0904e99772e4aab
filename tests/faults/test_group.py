"""Several workers in one group on a real Kafka: they come, go, die and stand still under traffic, and no number changes.

steady  ──▶──────────▶────────────▶────────────▶────────────────────▶   all partitions, or its share
other      join ──▶ SIGTERM   ──▶ kill -9   ──▶ SIGSTOP ······· SIGCONT
zombie     ──▶ insert ·(held back in a proxy)· SIGSTOP ·········· its bytes arrive ── SIGCONT: refused

The traffic of all tests goes into one log, which is judged as a whole after each.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from deploy.embedded.existing import ExistingKafka
from deploy.embedded.supervise import Child
from tests.faults.harness.group import Group, pause, resume, said, until
from tests.proxy import Proxy
from tests.support import ROOT, Running, drain, funnel

pytestmark = pytest.mark.apache
INSERT = b"INSERT INTO journal"
A_BLOCK = 2_048
"""Bytes. A question to ClickHouse is shorter than a piece of a flush's block."""


@pytest.fixture(scope="module")
def group(apache: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """A stack with one worker, `steady`, and nobody else."""
    directory = tmp_path_factory.mktemp("group")
    running = Running(directory / "stack", lambda logs: ExistingKafka(apache, logs / "broker.log"))
    try:
        running.start()
        running.stack.start_worker("steady")
        yield Group(running, directory / "acknowledged.txt")
    finally:
        running.stack.stop()


@pytest.fixture(scope="module")
def proxy(group: Group) -> Iterator[Proxy]:
    """A network between `other` and ClickHouse."""
    server = group.running.stack.clickhouse
    with Proxy((server.host, server.port)) as proxy:
        yield proxy


def start_other(group: Group, proxy: Proxy) -> Child:
    """Start a worker that gives up a flush in flight after 2 s."""
    return group.start("other", proxy, STOP_SECONDS="2")


@pytest.fixture
def steady(group: Group) -> Child:
    """The worker that stays."""
    child = group.running.stack.processes["steady"].child
    return child if child.running else group.start("steady")


@pytest.fixture
def other(group: Group, steady: Child, proxy: Proxy) -> Child:
    """A second member of the group, of an earlier test if it is still there."""
    process = group.running.stack.processes.get("other")
    running = process is not None and process.child.running
    child = process.child if process and running else start_other(group, proxy)
    group.settle(2)
    return child


def test_they_come_and_go(group: Group, steady: Child, proxy: Proxy) -> None:
    """One joins and is stopped; one joins and is killed."""
    traffic = group.send(800, 12.0)
    other = start_other(group, proxy)
    group.settle(2)
    assert other.stop(60.0) == 0
    group.settle(1)
    other = start_other(group, proxy)
    group.settle(2)
    more = group.send()
    other.kill()
    group.settle(1)
    group.assert_exact(traffic, more)
    assert steady.running


def test_one_stands_still_for_longer_than_its_session(group: Group, steady: Child, other: Child) -> None:
    traffic = group.send()
    pause(other)
    try:
        group.settle(1)
        assert until(lambda: group.owns_all("steady"))
    finally:
        resume(other)
    # It is a member again, or it has noticed in the middle of a flush and ended.
    assert until(lambda: len(group.members()) == 2 or not other.running)
    group.assert_exact(traffic, group.send(100, 0.2))
    assert steady.running


def test_a_zombie_inserts_nothing(group: Group, proxy: Proxy, other: Child) -> None:
    """Its bytes arrive when the new owner has read the fence and done its work; then it goes on itself.

    Once ClickHouse has not heard of the insert before, once it has everything but the block.
    """
    for least in (0, A_BLOCK):
        if not other.running:
            other = start_other(group, proxy)
        group.settle(2)
        caught = proxy.catch(INSERT, least)
        traffic = group.send(seconds=1.0)
        assert caught.wait(60.0)
        pause(other)
        try:
            group.settle(1)
            traffic.finish()
            drain(group.running.values)
            proxy.mend()
        finally:
            resume(other)
        assert until(lambda zombie=other: len(group.members()) == 2 or not zombie.running)  # type: ignore[misc]
    group.assert_exact(group.send(100, 0.2))


def test_who_cannot_land_a_flush_lets_go_in_time(group: Group, proxy: Proxy, other: Child) -> None:
    """The way of one worker to ClickHouse stalls in the middle of a flush; another joins, and must not wait for that."""
    caught = proxy.catch(INSERT, A_BLOCK)
    traffic = group.send(seconds=1.0)
    assert caught.wait(60.0)
    try:
        third = group.start("third")
        assert said(other, "abandoning a flush in flight: it did not land within 2.0 s")
        group.settle(3)
    finally:
        proxy.mend()
    group.assert_exact(traffic)
    assert other.running
    assert [third.stop(60.0), other.stop(60.0)] == [0, 0]


def test_a_rewind_waits_for_nobody_and_outlives_its_own_death(
    group: Group, steady: Child, proxy: Proxy
) -> None:
    """Refused while the group has members; killed after its rows have gone and before a rollup is made anew, the same command finishes it."""
    running = group.running
    arguments = ("rewind", "--to", "clicks/1/20", "--yes")
    refused = funnel(running, *arguments)
    assert refused.returncode != 0
    assert "workers are running in group funnel: funnel-worker at " in refused.stdout + refused.stderr
    assert steady.stop(60.0) == 0
    assert until(lambda: not group.members())
    caught = proxy.catch(b"EXCHANGE TABLES")
    dying = subprocess.Popen(
        [sys.executable, "-m", "deploy.cli", *arguments],
        cwd=ROOT,
        env=running.stack.settings(CLICKHOUSE_PORT=str(proxy.port)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert caught.wait(60.0)
    finally:
        dying.kill()
        dying.wait()
    again = funnel(running, *arguments)
    assert again.returncode == 0, again.stdout + again.stderr
    proxy.cut()
    group.start("steady")
    group.assert_exact()
