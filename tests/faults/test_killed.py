"""Processes that die in the middle: no final number changes.

records   ─────────────────────────────────────────▶ all of them, with all the mess
worker    ──────✗ (kill -9)   ────✗ (kill -9)  ──────────▶
journal   whole flushes only; each new worker starts after the fence
"""

import os
import random
import threading
import time
from typing import Any

import pytest
from rich.console import Console

from deploy.verification import compare_now
from simulator.generate import generate
from simulator.mess import Mess
from simulator.send import send_to_kafka
from tests.support import drain

EVENTS = 20_000
SEEDS = int(os.environ.get("FUNNEL_TEST_SEEDS", "1"))
"""Each takes most of a minute, so only a few by default."""


class Traffic(threading.Thread):
    """Sends simulated events into Kafka in slices, so that sending and faults overlap."""

    def __init__(self, values: dict[str, Any], seed: int, seconds: float) -> None:
        super().__init__(daemon=True)
        self.values, self.seed, self.seconds = values, seed, seconds
        self.acknowledged: dict[str, str] = {}
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            items = list(generate(self.seed, EVENTS, int(time.time() * 1000), Mess()))
            step = EVENTS // 20
            for start in range(0, EVENTS, step):
                sent = send_to_kafka(items[start : start + step], self.values["kafka"])
                self.acknowledged.update(sent.acknowledged)
                time.sleep(self.seconds / 20)
        except BaseException as error:  # handed to the test, which raises it
            self.error = error

    def finish(self) -> None:
        self.join()
        if self.error is not None:
            raise self.error


def assert_exact(values: dict[str, Any]) -> None:
    drain(values)
    console = Console(width=200, record=True)
    assert compare_now(values, console, None).ok, console.export_text()


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_a_worker_killed_again_and_again(running: Any, seed: int) -> None:
    chance = random.Random(seed)
    worker = running.stack.start_worker()
    traffic = Traffic(running.values, seed, 8.0)
    traffic.start()
    for _ in range(3):
        time.sleep(chance.uniform(0.2, 3.0))
        worker.child.kill()
        worker = running.stack.start_worker()
    traffic.finish()
    assert_exact(running.values)
    assert worker.child.running


def test_clickhouse_killed_under_a_worker(running: Any) -> None:
    """The worker waits, stays in the group, and goes on; the flush with the unknown outcome lands once."""
    worker = running.stack.start_worker()
    traffic = Traffic(running.values, 3, 6.0)
    traffic.start()
    for pause in (1.0, 2.5):
        time.sleep(pause)
        running.stack.clickhouse.kill()
        time.sleep(1.0)
        running.stack.clickhouse.start()
    traffic.finish()
    assert_exact(running.values)
    assert worker.child.running


def test_a_worker_stopped_gracefully_goes_on_where_it_was(running: Any) -> None:
    worker = running.stack.start_worker()
    traffic = Traffic(running.values, 4, 3.0)
    traffic.start()
    time.sleep(1.5)
    assert worker.child.stop() == 0
    running.stack.start_worker()
    traffic.finish()
    assert_exact(running.values)
