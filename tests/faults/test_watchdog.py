"""A worker that hangs ends itself; one that merely waits does not.

ClickHouse  ──────■ (frozen: it takes connections and answers nothing)
log         ──▶──▶──▶──▶──▶
worker      ──▶ ·  ·  ·  ·  exit 1, and whoever runs next reads on after the fence
"""

import os
import signal
import time
from collections.abc import Callable

from simulator.generate import generate
from simulator.mess import Mess
from simulator.send import send_to_kafka
from tests.faults.test_killed import assert_exact
from tests.support import Running

PATIENCE = 60.0


def until(true: Callable[[], bool]) -> bool:
    """Whether it becomes true within patience."""
    deadline = time.monotonic() + PATIENCE
    while not true() and time.monotonic() < deadline:
        time.sleep(0.2)
    return true()


def send(running: Running, seed: int) -> None:
    send_to_kafka(list(generate(seed, 500, int(time.time() * 1000), Mess())), running.values["kafka"])


def test_a_worker_that_hangs_ends_itself_and_the_next_one_goes_on(running: Running) -> None:
    stack = running.stack
    worker = stack.start_worker("hanging", STALL_SECONDS="3").child
    send(running, 1)
    os.kill(stack.pids["clickhouse"], signal.SIGSTOP)
    try:
        send(running, 2)
        assert until(lambda: worker.pid is None), worker.log.read_text()
    finally:
        os.kill(stack.pids["clickhouse"], signal.SIGCONT)
    assert worker.stop() == 1
    assert "no progress for 3 s while the log grows: " in worker.log.read_text()
    stack.start_worker("next")
    assert_exact(running.values)


def test_a_worker_that_waits_for_clickhouse_stays(running: Running) -> None:
    stack = running.stack
    # Long enough for a slow insert on a machine that others use too: that would be a standstill.
    worker = stack.start_worker("waiting", STALL_SECONDS="15").child
    stack.clickhouse.kill()
    send(running, 3)
    time.sleep(20)
    assert worker.pid is not None, worker.log.read_text()
    stack.clickhouse.start()
    assert_exact(running.values)
    assert worker.pid is not None
