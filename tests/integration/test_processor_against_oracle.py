"""The processor against the oracle over a log in memory: any cutting into units, any interleaving of lines, all the mess.

No broker and no engine: what is tested is that the columnar steps with their state and the per-event rules of the oracle agree.
"""

import random
import uuid
from collections import Counter, defaultdict
from typing import Protocol

import numpy as np
import polars as pl
import pytest

from schemas.attribution import Models, default_models, parse_models
from schemas.bounds import DEFAULTS, Bounds
from schemas.encoding import encode
from schemas.ids import route_of
from schemas.partitioning import partition_for
from schemas.topics import LINKS, TOPICS
from simulator.generate import generate
from simulator.items import Item, prepared
from simulator.log import Log, Record, Span
from simulator.mess import Mess
from simulator.oracle.compute import Rules, compute
from simulator.oracle.result import Fate, Result
from streams.process import Processor
from streams.settings import WorkerSettings
from streams.state.partition import empty_partition
from streams.steps.batch import RawBatch
from streams.steps.enrich import Lookups
from streams.unit import Line, Lines, source_name

PARTITIONS = 3
LIMIT = 4
CLUSTER = "cluster"
NOW = 1_790_000_000_000
LINES = [(topic, number) for topic in TOPICS for number in range(PARTITIONS)]


SHORT = {"click": 100, "lead": 60, "impression": 30}
UNUSUAL = parse_models(
    {
        "models": [
            {"model": "shared", "version": 3, "rule": "linear", "lookback_hours": SHORT, "skew_seconds": 90},
            {"model": "shared", "version": 4, "rule": "linear", "lookback_hours": SHORT, "direct": "ignored"},
            {
                **{"model": "decay", "version": 1, "rule": "time_decay", "half_life_hours": 3},
                **{"lookback_hours": SHORT, "direct": "last_resort", "skew_seconds": 600},
            },
            {
                **{
                    "model": "ends",
                    "version": 1,
                    "rule": "position",
                    "first_percent": 33,
                    "last_percent": 21,
                },
                **{"lookback_hours": SHORT, "channels": ["email", "direct", "paid_search", "affiliate"]},
            },
            {
                **{"model": "payout", "version": 9, "purpose": "payout", "rule": "first"},
                **{"lookback_hours": {"impression": 12}},
            },
        ]
    }
)
"""What the default models leave out: other touches, windows, channels and ways to take direct traffic."""


class Rows(Protocol):
    """What a pipeline has left in its journal."""

    def rows(self, kind: str) -> pl.DataFrame:
        """All rows of one kind."""


class Model:
    """A log in memory, a processor over it, and the rows it leaves."""

    def __init__(self, seed: int, events: int, models: Models, bounds: Bounds = DEFAULTS) -> None:
        self.chance = random.Random(seed)
        self.log: dict[Line, list[Record]] = {line: [] for line in LINES}
        for item in generate(seed, events, NOW, Mess(devices=0.5, shared=0.05, illegal=0.2, skewed=0.1)):
            self.append(*prepared(item, PARTITIONS))
            self._login(item)
        settings = WorkerSettings(bootstrap="", models=models, person_limit=LIMIT, bounds=bounds)
        states = {number: empty_partition(settings) for number in range(PARTITIONS)}
        sources = {line: source_name(CLUSTER, line) for line in LINES}
        self.processor = Processor(settings, Lookups.open("", ""), states, sources, PARTITIONS)
        self.lines = Lines(dict.fromkeys(LINES, 0))
        self.frames: dict[str, list[pl.DataFrame]] = defaultdict(list)

    def _login(self, item: Item) -> None:
        """Now and then somebody logs in, as one of few, and on several devices."""
        visitor = item.record.get("visitor_id", "")
        if visitor and self.chance.random() < 0.005:
            key = f"user {self.chance.randrange(20)}"
            claim = {"purpose": "claim", "route": route_of(key), "identity_key": key, "visitor_id": visitor}
            claim |= {"event_id": str(uuid.UUID(int=self.chance.getrandbits(128))), "occurred_at": item.time}
            home = partition_for(claim["route"].encode(), PARTITIONS)
            self.append(LINKS, home, claim["route"].encode(), encode(LINKS, claim), item.time)

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, time: int) -> None:
        line = self.log[topic, partition]
        line.append(Record(len(line), time, key, value))

    def run(self, most: int) -> None:
        """Take up to ``most`` records of a few random lines at a time until nothing is left."""
        while waiting := [line for line in LINES if self.lines.next_offset[line] < len(self.log[line])]:
            chosen = self.chosen(waiting)
            unit = self.lines.unit([self._batch(line, self.chance.randint(1, most)) for line in chosen])
            assert unit is not None
            outcome = self.processor.process(unit)
            for frame in outcome.frames:
                if frame.height:
                    self.frames[frame["kind"][0]].append(frame)
            for hop in outcome.hops:
                self.append(*hop)

    def chosen(self, waiting: list[Line]) -> list[Line]:
        """Return the lines to take from next."""
        return self.chance.sample(waiting, self.chance.randint(1, len(waiting)))

    def _batch(self, line: Line, count: int) -> RawBatch:
        start = self.lines.next_offset[line]
        records = self.log[line][start : start + count]
        return RawBatch(
            line[0],
            np.full(len(records), line[1], dtype=np.int32),
            np.array([record.offset for record in records], dtype=np.int64),
            np.array([record.time for record in records], dtype=np.int64),
            [record.value for record in records],
            [record.key for record in records],
        )

    def rows(self, kind: str) -> pl.DataFrame:
        return pl.concat(self.frames[kind], how="diagonal")


@pytest.mark.parametrize(
    ("seed", "events", "most", "models"),
    [
        (1, 6000, 40, default_models()),
        (2, 6000, 700, UNUSUAL),
        (3, 6000, 10_000, default_models()),
    ],
    ids=["small units", "unusual models", "large units"],
)
def test_every_number_agrees(seed: int, events: int, most: int, models: Models) -> None:
    model = Model(seed, events, models)
    model.run(most)
    spans = {line: Span(0, len(records), records) for line, records in model.log.items()}
    expected = compute(Log(CLUSTER, PARTITIONS, spans), Rules(models=models, person_limit=LIMIT))
    assert_agrees(model, expected)
    assert len({state.flag for state in expected.transactions.values()}) >= 5, "what is compared occurs"
    at = {key: state.occurred_at for key, state in expected.transactions.items()}
    assert any(c.touch_at > at[c.partner, c.transaction_id] for c in expected.credits), (
        "what is compared occurs"
    )


def test_every_number_agrees_under_other_bounds() -> None:
    """Amounts above a hundred are refused, and what is up to three hours ahead is not."""
    bounds = Bounds(amount_limit=100, future_tolerance_seconds=3 * 3600)
    model = Model(4, 4000, default_models(), bounds)
    model.run(700)
    spans = {line: Span(0, len(records), records) for line, records in model.log.items()}
    rules = Rules(models=default_models(), person_limit=LIMIT, bounds=bounds)
    expected = compute(Log(CLUSTER, PARTITIONS, spans), rules)
    assert_agrees(model, expected)
    reasons = Counter(
        reject.reason for source in expected.sources.values() for reject in source.rejects.values()
    )
    assert reasons["amount"] > 50, "what is compared occurs"


def assert_agrees(model: Rows, expected: Result) -> None:
    """Fail where the sums of a pipeline's rows are not the oracle's."""
    flushes = (
        model.rows("flush")
        .group_by("_source")
        .agg(pl.col("received", "journaled", "duplicates", "rejects").sum())
    )
    found = {row[0]: row[1:] for row in flushes.iter_rows()}
    for name, source in expected.sources.items():
        counts = (
            len(source.fates),
            source.count(Fate.JOURNALED, Fate.FORWARDED),
            source.count(Fate.DUPLICATE),
            source.count(Fate.REJECTED),
        )
        assert found.get(name, (0, 0, 0, 0)) == counts, name

    rejects = Counter(model.rows("reject").select("_source", "_offset", "reason", "detail").iter_rows())
    assert rejects == Counter(
        (name, offset, reject.reason, reject.detail)
        for name, source in expected.sources.items()
        for offset, reject in source.rejects.items()
    )

    credits: Counter[tuple[object, ...]] = Counter()
    for row in model.rows("credit").iter_rows(named=True):
        key = (
            row["partner"],
            row["transaction_id"],
            row["model"],
            row["model_version"],
            row["touch_kind"],
            row["touch_hi"] << 64 | row["touch_lo"],
        )
        dims = tuple(
            row[name] for name in ("campaign", "affiliate", "offer", "channel", "country", "device", "bot")
        )
        for measure in ("weight", "value", "payout"):
            credits[(*key, *dims, measure)] += row["sign"] * row[measure]
    wanted: Counter[tuple[object, ...]] = Counter()
    for credit in expected.credits:
        key = (
            credit.partner,
            credit.transaction_id,
            credit.model,
            credit.model_version,
            credit.touch_kind,
            int(credit.touch_id.replace("-", ""), 16),
        )
        for measure in ("weight", "value", "payout"):
            wanted[(*key, *credit[10:17], measure)] += getattr(credit, measure)
    assert {key: value for key, value in credits.items() if value} == {
        key: value for key, value in wanted.items() if value
    }

    counts: Counter[tuple[object, ...]] = Counter()
    for row in model.rows("count").iter_rows(named=True):
        counts[
            (
                row["partner"],
                row["transaction_id"],
                row["status"],
                row["value"],
                row["payout"],
                row["occurred_at"],
                row["approved_at"],
                row["flag"],
            )
        ] += row["sign"]
    assert {key: value for key, value in counts.items() if value} == {
        (*key, state.status, state.value, state.payout, state.occurred_at, state.approved_at, state.flag): 1
        for key, state in expected.transactions.items()
    }
