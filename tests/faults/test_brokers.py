"""One of three brokers dies under traffic, and comes back: every record is on two others.

broker 1, 2, 3  ──▶──▶──✗ (kill -9 of one, the leader of a third of the partitions) ······▶──▶
collector, worker, client: go on with the other two
"""

from pathlib import Path

import pytest

from tests.faults.harness.rounds import play
from tests.faults.harness.schedule import Step
from tests.faults.harness.world import World

STEPS = [Step(1.0, "broker-killed", 2.0, 0.4)]


@pytest.mark.apache
def test_brokers_that_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "acknowledged.txt"
    with World(tmp_path, "cluster") as world:
        played = play(world, STEPS, 21, 1_000, path, lambda count: None)
    assert played.verdict.ok, played.verdict.problems
    assert played.acknowledged > 900
