"""One round: a fresh world, traffic, a plan of faults beside it, then the verdict."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.settings import clickhouse_settings
from schemas.topics import TOPICS
from simulator.generate import generate
from simulator.kafka import KafkaFailed
from simulator.mess import Mess
from simulator.send import CollectorTarget, NotAcknowledged
from sinks.clickhouse.client import connect
from sinks.clickhouse.journal import known_sources, newest_flushes
from streams.broker import LogEnds, describe_cluster
from streams.sources import name_sources
from tests.faults.harness.client import PATIENCE_SECONDS, Client
from tests.faults.harness.faults import faults_for
from tests.faults.harness.judge import Verdict, judge
from tests.faults.harness.schedule import Step, duration
from tests.faults.harness.world import World

RECOVERY_SECONDS = 180.0
LOOK_SECONDS = 0.1
Progress = Callable[[int], None]


@dataclass
class Played:
    """What came of one round. ``recovery_seconds``: from the last healing until the journal held all that the log held at that moment."""

    verdict: Verdict
    acknowledged: int = 0
    recovery_seconds: float = 0.0
    restarts: int = 0
    steps: Sequence[Step] = field(default_factory=list)


def play(
    world: World, steps: Sequence[Step], seed: int, events: int, path: Path, progress: Progress
) -> Played:
    """Send ``events`` through the faults of ``steps``, heal, drain and judge; acknowledged ids are appended to ``path``.

    ``progress`` is told how many more were sent.
    """
    client = _client(world, seed, events, path, duration(steps), progress)
    before = _lines(path)
    client.start()
    restarts = world.restarts
    for step in steps:
        _take(world, step)
    recovery, failure = _recovered(world)
    while not client.is_done:
        world.keep()
        time.sleep(LOOK_SECONDS)
    verdict = _judged(world, client, path)
    verdict.found("wrong", int(failure), f"not recovered within {RECOVERY_SECONDS:.0f} s")
    return Played(verdict, _lines(path) - before, recovery, world.restarts - restarts, steps)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _client(world: World, seed: int, events: int, path: Path, seconds: float, progress: Progress) -> Client:
    values = world.values
    target = CollectorTarget(
        world.url,
        token=values["tokens"][0],
        link_key=values["link_keys"][0],
        patience_seconds=PATIENCE_SECONDS,
    )
    items = list(generate(seed, events, int(time.time() * 1000), Mess()))
    return Client(items, target, values["kafka"], path, seconds, progress)


def _take(world: World, step: Step) -> None:
    fault = faults_for(world.broker)[step.fault]()
    time.sleep(step.pause)
    world.keep()
    try:
        fault.begin(world, step.share)
        time.sleep(step.seconds)
    finally:
        fault.heal(world)


def _recovered(world: World) -> tuple[float, bool]:
    """Return the seconds until all is in the journal that is in the log now, and whether that took too long."""
    began = time.monotonic()
    cluster = describe_cluster(world.values["kafka"], TOPICS)
    lines = [(topic, number) for topic in TOPICS for number in range(cluster.partitions[topic])]
    ends = LogEnds(world.values["kafka"], lines)
    connection = connect(clickhouse_settings(world.values))
    try:
        bounds = ends()
        while time.monotonic() - began < RECOVERY_SECONDS:
            world.keep()
            sources = name_sources(cluster, lines, known_sources(connection, cluster.id))
            fences = newest_flushes(connection, list(sources.values()))
            if all(fences.get(sources[line], start - 1) >= end - 1 for line, (start, end) in bounds.items()):
                return time.monotonic() - began, False
            time.sleep(LOOK_SECONDS)
        return time.monotonic() - began, True
    finally:
        ends.close()
        connection.close()


def _judged(world: World, client: Client, path: Path) -> Verdict:
    try:
        client.finish()
    except (NotAcknowledged, KafkaFailed) as error:
        verdict = judge(world.values, path)
        verdict.found("wrong", 1, f"the client: {error}")
        return verdict
    return judge(world.values, path)
