"""Workers in this process that die at any moment, over the real journal: whatever the crash points, the numbers are the oracle's.

worker 1   unit · unit · hops sent ✗        each one takes over, reads fences, restores, and groups what is left in its own way;
worker 2                unit · landed ✗     clocks are set forth and back by an hour; hops are sent again; rollups are derived now and then,
worker 3                       ✂ unit ···   and at times the journal is rewound
"""

import os
import random
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import WorkerMetrics
from schemas.topics import IDENTIFIED_TOPICS, TOPICS
from simulator.generate import generate
from simulator.items import prepared
from simulator.log import Log, Record, Span
from simulator.mess import Mess
from simulator.oracle.compute import compute
from simulator.verify import verify
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.grains import MINUTE, ROLLUPS
from sinks.clickhouse.history import History
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rebuild import rebuild
from sinks.clickhouse.removing import remove, wait_for_removals
from sinks.clickhouse.rewind import beyond, cuts, flushes_since, late_forwards
from sinks.clickhouse.rollup import derive
from streams.assignment import Assignment, Assignments
from streams.broker import Cluster, Hop
from streams.flushing import Flusher
from streams.settings import DAY_MS, WorkerSettings
from streams.steps.batch import RawBatch
from streams.steps.enrich import Lookups
from streams.unit import Line, Outcome, source_name

SEEDS = int(os.environ.get("FUNNEL_TEST_SEEDS", "1"))
EVENTS, LIVES = 400, 6
PARTITIONS = 2
CLUSTER = "crashing"
NOW = 1_790_000_000_000
HOUR = 3_600_000
LINES = [(topic, number) for topic in TOPICS for number in range(PARTITIONS)]
SOURCES = {line: source_name(CLUSTER, line) for line in LINES}
WHOLE = Cluster(CLUSTER, dict.fromkeys(TOPICS, PARTITIONS), {})
NUMBERS = {number: [SOURCES[topic, number] for topic in TOPICS] for number in range(PARTITIONS)}


class Kafka:
    """A log in memory."""

    def __init__(self, seed: int, events: int) -> None:
        self.records: dict[Line, list[Record]] = {line: [] for line in LINES}
        for item in generate(seed, events, NOW, Mess()):
            self.append(*prepared(item, PARTITIONS))

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, time: int) -> None:
        line = self.records[topic, partition]
        line.append(Record(len(line), time, key, value))

    def send(self, hops: Sequence[Hop]) -> None:
        for hop in hops:
            self.append(*hop)

    def batch(self, line: Line, start: int, count: int) -> RawBatch:
        records = self.records[line][start : start + count]
        return RawBatch(
            line[0],
            np.full(len(records), line[1], dtype=np.int32),
            np.array([record.offset for record in records], dtype=np.int64),
            np.array([record.time for record in records], dtype=np.int64),
            [record.value for record in records],
            [record.key for record in records],
        )


class World:
    """The log, the journal, and one worker at a time."""

    def __init__(self, connection: Connection, beside: Connection, seed: int, events: int) -> None:
        self.chance = random.Random(seed)
        self.kafka = Kafka(seed, events)
        self.journal = Journal(connection, "group")
        metrics = WorkerMetrics.create(CollectorRegistry())
        self.assignments = Assignments(
            WorkerSettings(bootstrap=""),
            self.journal,
            History(connection),
            [History(beside)],
            Lookups.open("", ""),
            lambda: WHOLE,
            metrics,
        )
        self.flusher = Flusher(self.journal, self.kafka, metrics, self.clock)  # type: ignore[arg-type]
        self.rewound = 0

    def clock(self) -> int:
        return NOW + self.chance.choice((-HOUR, 0, HOUR)) + self.chance.randrange(1000)

    def take(self) -> Assignment:
        return self.assignments.take({line: (0, len(self.kafka.records[line])) for line in LINES})

    def live(self, lives: int) -> None:
        """Let workers live and die, the last one until nothing is left."""
        for _ in range(lives):
            one = self.take()
            for _ in range(self.chance.randint(1, 6)):
                outcome = self.process(one)
                if outcome is None:
                    break
                self.flusher.land(one, outcome)
                if self.chance.random() < 0.4:
                    derive(self.journal, MINUTE, list(SOURCES.values()), one.token, limit=500)
            self.die(one)
            if self.chance.random() < 0.5:
                self.rewind()
        one = self.take()
        while (outcome := self.process(one)) is not None:
            self.flusher.land(one, outcome)
        for rollup in ROLLUPS:
            while derive(self.journal, rollup, list(SOURCES.values()), one.token).more:
                pass

    def die(self, one: Assignment) -> None:
        """After processing, or after the hops; what had not landed never lands."""
        outcome = self.process(one)
        if outcome is not None and self.chance.random() < 0.7:
            self.kafka.send(outcome.hops)

    def process(self, one: Assignment) -> Outcome | None:
        waiting = [line for line in LINES if one.lines.next_offset[line] < len(self.kafka.records[line])]
        if not waiting:
            return None
        chosen = self.chance.sample(waiting, self.chance.randint(1, len(waiting)))
        most = self.chance.choice((5, 60, 400))
        unit = one.lines.unit(
            [
                self.kafka.batch(line, one.lines.next_offset[line], self.chance.randint(1, most))
                for line in chosen
            ]
        )
        assert unit is not None
        return one.processor.process(unit)

    def rewind(self) -> None:
        """To the record time of any row."""
        connection = self.journal.connection
        times = connection.query(
            "SELECT toUnixTimestamp64Milli(_record_time) FROM journal WHERE kind != 'flush' ORDER BY _source, _offset"
        )
        if not times:
            return
        wanted = int(self.chance.choice(times)[0])
        found = cuts(connection, NUMBERS, flushes_since(connection, NUMBERS, wanted))
        firsts = {cut.source: cut.first for cut in found if cut.rows}
        identified = [SOURCES[line] for line in LINES if line[0] in IDENTIFIED_TOPICS]
        if late_forwards(connection, firsts, identified, DAY_MS):
            return
        self.journal.take_ownership(list(SOURCES.values()), 99)
        remove(connection, beyond(firsts))
        wait_for_removals(connection, pause=0.01)
        for rollup in ROLLUPS:
            rebuild(self.journal, rollup)
        self.rewound += 1


@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
def test_every_number_agrees(emptied: Connection, seed: int) -> None:
    with closing(connect(emptied.settings)) as beside:
        world = World(emptied, beside, seed, EVENTS)
        world.live(LIVES)
    assert world.rewound
    spans = {line: Span(0, len(records), records) for line, records in world.kafka.records.items()}
    report = verify(compute(Log(CLUSTER, PARTITIONS, spans)), emptied.query, {})
    assert [check for check in report.checks if not check.ok] == []
