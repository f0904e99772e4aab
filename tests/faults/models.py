"""Log, journal and hops in memory, with the faults that the real ones have: what a worker's own code is run over, step by step.

What a real server does between two packets happens here at one point, so every such point can be tried:

    request      ──✗ CRASH_BEFORE   ──✗ LOST_BEFORE (never arrives)   ──┄┄▶ HELD (arrives later, if at all)
    server       takes the owner for right, then commits: STARTED stands between the two
    answer       ✗── LOST_AFTER     ✗── CRASH_AFTER
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
import polars as pl

from schemas.partitioning import partition_for
from schemas.topics import TOPICS
from simulator.items import Item, prepared
from simulator.log import Record
from sinks.clickhouse import history
from sinks.clickhouse.errors import NotOwner, Unavailable
from sinks.clickhouse.history import Floors
from sinks.clickhouse.journal import Journal
from streams.broker import Hop, HopError
from streams.steps.batch import RawBatch
from streams.unit import Line

CLUSTER = "cluster"
T = TypeVar("T")


class Crash(BaseException):
    """The worker's process is gone."""


class Fate(Enum):
    """What becomes of one request to a server."""

    GO = auto()
    CRASH_BEFORE = auto()
    CRASH_AFTER = auto()
    LOST_BEFORE = auto()
    LOST_AFTER = auto()
    HELD = auto()
    STARTED = auto()


@dataclass
class Fates:
    """The fates still to come; when they are used up, all goes well. ``asked`` counts the requests; ``before`` is called ahead of each with their
    number so far."""

    waiting: list[Fate] = field(default_factory=list)
    asked: int = 0
    before: Callable[[int], None] = lambda asked: None

    def next(self) -> Fate:
        self.before(self.asked)
        self.asked += 1
        return self.waiting.pop(0) if self.waiting else Fate.GO


def request(
    fates: Fates, error: Callable[[], Exception], work: Callable[[], T], later: Callable[[bool], None]
) -> T:
    """Do ``work`` as the next fate has it; ``error`` is what the client sees of a lost answer, ``later`` keeps what arrives late."""
    fate = fates.next()
    if fate is Fate.CRASH_BEFORE:
        raise Crash
    if fate is Fate.LOST_BEFORE:
        raise error()
    if fate in (Fate.HELD, Fate.STARTED):
        later(fate is Fate.STARTED)
        raise error()
    done = work()
    if fate is Fate.CRASH_AFTER:
        raise Crash
    if fate is Fate.LOST_AFTER:
        raise error()
    return done


@dataclass
class LogModel:
    """Records per line."""

    partitions: int
    lines: dict[Line, list[Record]] = field(init=False)

    def __post_init__(self) -> None:
        self.lines = {(topic, number): [] for topic in TOPICS for number in range(self.partitions)}

    def append(self, topic: str, partition: int, key: bytes | None, value: bytes | None, time: int) -> None:
        line = self.lines[topic, partition]
        line.append(Record(len(line), time, key, value))

    def send(self, items: Iterable[Item]) -> None:
        for item in items:
            self.append(*prepared(item, self.partitions))

    def batch(self, line: Line, start: int, count: int) -> RawBatch:
        records = self.lines[line][start : start + count]
        return RawBatch(
            line[0],
            np.full(len(records), line[1], dtype=np.int32),
            np.array([record.offset for record in records], dtype=np.int64),
            np.array([record.time for record in records], dtype=np.int64),
            [record.value for record in records],
            [record.key for record in records],
        )


@dataclass
class HopModel:
    """A producer into the log. What is held back was sent in part."""

    log: LogModel
    fates: Fates

    def send(self, hops: Sequence[Hop]) -> None:
        def some(_started: bool) -> None:
            self._append(hops[: len(hops) // 2])

        request(self.fates, lambda: HopError(len(hops), "no answer"), partial(self._append, hops), some)

    def _append(self, hops: Sequence[Hop]) -> None:
        for hop in hops:
            self.log.append(*hop)


@dataclass
class Insert:
    """An insert on its way: ``started`` ones have passed the owner's constraint and can be killed; others are still in the network."""

    frame: pl.DataFrame
    deduplication: str
    sources: frozenset[str]
    started: bool


@dataclass
class Server:
    """ClickHouse: owners, blocks that have landed, tokens seen, and what is still on its way."""

    owners: dict[str, int] = field(default_factory=dict)
    blocks: list[pl.DataFrame] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    under_way: list[Insert] = field(default_factory=list)

    def insert(self, one: Insert) -> None:
        """Land a block whole, once. Raises NotOwner."""
        if not one.started and any(
            self.owners.get(source) != owner
            for source, owner in one.frame.select("_source", "_owner").unique().iter_rows()
        ):
            raise NotOwner(469, "Constraint `owner`")
        if one.deduplication not in self.tokens:
            self.tokens.add(one.deduplication)
            self.blocks.append(one.frame)

    def arrive(self, place: int = 0) -> None:
        """What was on its way arrives now."""
        try:
            self.insert(self.under_way.pop(place))
        except NotOwner:
            pass  # nobody is there to hear it

    def rows(self, kind: str) -> pl.DataFrame:
        """All rows of one kind, as they were sent."""
        found = [block.filter(pl.col("kind") == kind) for block in self.blocks]
        return pl.concat([_EMPTY, *found], how="diagonal")


_COUNTS = ("_offset", "_ingested_at", "received", "journaled", "duplicates", "rejects")
_EMPTY = pl.DataFrame(
    schema={
        "kind": pl.String,
        **dict.fromkeys(("_source", "reason", "detail"), pl.String),
        **dict.fromkeys(_COUNTS, pl.Int64),
    }
)


@dataclass
class ConnectionModel:
    """`sinks.clickhouse.client.Connection` of one worker, as far as the journal uses it; blocks stay frames."""

    server: Server
    fates: Fates
    settings: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(replicas=()))

    def insert_rows(self, _table: str, _columns: Sequence[str], rows: Sequence[tuple[str, int]]) -> None:
        self._ask(lambda: self.server.owners.update(dict(rows)))

    def insert_block(self, _table: str, block: pl.DataFrame, settings: Mapping[str, Any]) -> None:
        sources = frozenset(settings["log_comment"].split("|")[1:-1])
        owned = self._owned_by(block)

        def one(started: bool) -> Insert:
            return Insert(block, settings["insert_deduplication_token"], sources, started)

        def later(started: bool) -> None:
            if owned or not started:
                self.server.under_way.append(one(started))

        request(self.fates, _away, lambda: self.server.insert(one(False)), later)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        flushes = self.server.rows("flush")
        # Nothing is derived or removed here, and a question that has no answer is one crash point, however many there are of it.
        if "FROM rollup_" in sql:
            return []
        if "FROM system.mutations" in sql:
            return [(0, 0, "")]
        if "max(_ingested_at)" in sql:
            return [(flushes["_ingested_at"].max() or 0,)]
        return self._ask(flushes.group_by("_source").agg(pl.col("_offset").max()).rows)

    def execute(self, kill: str) -> None:
        named = set(re.findall(r"\|(.+?)\|", kill))
        assert kill.startswith("KILL QUERY") and kill.endswith("SYNC") and named, kill

        def end() -> None:
            left = [one for one in self.server.under_way if not one.started or not one.sources & named]
            self.server.under_way = left

        self._ask(end)

    def _owned_by(self, block: pl.DataFrame) -> bool:
        pairs = block.select("_source", "_owner").unique().iter_rows()
        return all(self.server.owners.get(source) == owner for source, owner in pairs)

    def _ask(self, work: Callable[[], T]) -> T:
        return request(self.fates, _away, work, lambda _: None)


class JournalModel(Journal):
    """The journal's own code over the models."""

    def known_sources(self, cluster_id: str) -> set[str]:
        """None: the topics of the model have no ids, so their sources have one name only."""
        return set()

    def pack(self, frame: pl.DataFrame) -> Any:
        # The flush's numbers are narrower where they come from.
        return frame.with_columns(pl.col(_COUNTS).cast(pl.Int64))


def _away() -> Exception:
    return Unavailable(0, "no answer")


_HALVES = {"event_id": ("event_hi", "event_lo"), "touch_id": ("touch_hi", "touch_lo")}
_TEXTS = pl.col(pl.String).fill_null("")
_NUMBERS = pl.selectors.numeric().fill_null(0)


@dataclass
class HistoryModel:
    """`sinks.clickhouse.history.History` over the same rows: its questions answered by filters instead of SQL."""

    server: Server

    def newest(self, numbers: Sequence[int], partitions: int) -> dict[tuple[str, int], int]:
        rows = self._of(history._RECORDS, numbers, partitions).group_by("kind", "_partition")
        newest = rows.agg(pl.col("_record_time").max())
        return {(kind, int(number)): int(time) for kind, number, time in newest.iter_rows()}

    def holds_older(self, floors: Floors, partitions: int) -> bool:
        return not self._of(history._RECORDS, list(floors), partitions).filter(~_after(floors)).is_empty()

    def ids(self, kind: str, floors: Floors, partitions: int) -> Iterator[pl.DataFrame]:
        rows = self._of((kind,), list(floors), partitions).filter(_after(floors))
        yield _chosen(rows, "event_id, content, _record_time").reverse()

    def rows(self, floors: Floors) -> dict[str, int]:
        """Few: what is not reserved grows."""
        return {}

    def touches(
        self, floors: Floors, partitions: int, impressions: bool = False, made: Any = None
    ) -> Iterator[pl.DataFrame]:
        """Texts stay texts: what is made of them follows from them."""
        kinds = ("impression", "click", "lead")[not impressions :]
        yield self._touches(kinds, list(floors), partitions).filter(_after(floors)).reverse()

    def links(self, numbers: Sequence[int], partitions: int) -> pl.DataFrame:
        rows = self._of(("link",), numbers, partitions).sort("_ingested_at", "_source", "_offset")
        return rows.filter(pl.col("purpose").is_in(["pair", "touch"])).select(
            "_partition", "visitor_id", "winner", "origin"
        )

    def claims_on(self, routes: Sequence[str], partitions: int) -> pl.DataFrame:
        rows = self._of(("link",), range(partitions), partitions).sort("_ingested_at", "_source", "_offset")
        rows = rows.filter(_among("route", routes), pl.col("purpose") == "claim")
        return rows.select("_partition", "identity_key", "visitor_id")

    def aliases(self, floors: Floors, partitions: int) -> Iterator[pl.DataFrame]:
        yield self._aliases(list(floors), partitions).filter(_after(floors)).reverse()

    def cold_aliases_on(self, routes: Sequence[str], partitions: int, limit: int) -> pl.DataFrame:
        return self._aliases(range(partitions), partitions).filter(_among("route", routes))

    def _aliases(self, numbers: Iterable[int], partitions: int) -> pl.DataFrame:
        rows = self._of(("link",), numbers, partitions).filter(pl.col("purpose") == "alias")
        touch = {"kind": "touch_kind", "event_hi": "touch_hi", "event_lo": "touch_lo"}
        rows = rows.with_columns(**{name: pl.col(column) for name, column in touch.items()})
        names = (*_names(history._ALIAS), "_partition")
        return rows.select(list(dict.fromkeys(names)))

    def _touches(self, kinds: Sequence[str], numbers: Iterable[int], partitions: int) -> pl.DataFrame:
        """Touches where they happened, and those that were sent on."""
        own = self._of(kinds, numbers, partitions).with_columns(origin=pl.lit(""))
        sent = self._of(("link",), numbers, partitions).filter(
            pl.col("purpose") == "touch", _among("touch_kind", kinds)
        )
        touch = {"kind": "touch_kind", "event_hi": "touch_hi", "event_lo": "touch_lo"}
        sent = sent.with_columns(**{name: pl.col(column) for name, column in touch.items()})
        return pl.concat([_chosen(rows, f"{history._TOUCH}, _record_time") for rows in (own, sent)])

    def requests(
        self, floors: Floors, partitions: int, _made: Any = None
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        rows = self._of(("request",), list(floors), partitions)
        key = ["partner", "transaction_id", "route"]
        recent = rows.filter(_after(floors)).select(key).unique()
        credits = self._of(("credit",), list(floors), partitions)
        return _standing(rows.join(recent, on=key, how="semi"), credits.join(recent, on=key, how="semi"))

    def cold_transactions(self, keys: Sequence[tuple[str, str]], partitions: int) -> pl.DataFrame:
        rows = self._of(("conversion",), range(partitions), partitions)
        wanted = pl.struct("partner", "transaction_id").is_in(
            pl.Series([{"partner": partner, "transaction_id": number} for partner, number in keys])
        )
        return _chosen(rows.filter(wanted), history._CONVERSION)

    def cold_requests_on(self, routes: Sequence[str], partitions: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        on = _among("route", routes)
        every = range(partitions)
        return _standing(
            self._of(("request",), every, partitions).filter(on),
            self._of(("credit",), every, partitions).filter(on),
        )

    def cold_touches_on(
        self, routes: Sequence[str], partitions: int, kinds: Sequence[str] = ("click", "lead")
    ) -> pl.DataFrame:
        return self._touches(kinds, range(partitions), partitions).filter(_among("route", routes))

    def _of(self, kinds: Sequence[str], numbers: Iterable[int], partitions: int) -> pl.DataFrame:
        """The rows of ``kinds`` whose route belongs to one of the partitions ``numbers``; what they lack as ClickHouse has it."""
        blocks = self.server.blocks
        frame = pl.concat([_COLUMNS, *blocks], how="diagonal_relaxed") if blocks else _COLUMNS
        frame = frame.filter(pl.col("kind").is_in(list(kinds))).with_columns(_TEXTS, _NUMBERS)
        homes = [partition_for(route.encode(), partitions) for route in frame["route"]]
        return frame.with_columns(_partition=pl.Series(homes, dtype=pl.UInt16)).filter(
            pl.col("_partition").is_in(list(numbers))
        )


def _after(floors: Floors) -> pl.Expr:
    floor = pl.col("_partition").replace_strict(dict(floors), default=None, return_dtype=pl.Int64)
    return pl.col("_record_time") > floor


def _among(column: str, texts: Sequence[str]) -> pl.Expr:
    return pl.col(column).is_in(pl.Series(list(texts), dtype=pl.String).implode())


def _names(columns: str) -> list[str]:
    """The frame's names of an SQL list of columns."""
    without_calls = re.sub(r"\([^()]*(\([^()]*\)[^()]*)*\)", "", columns)
    plain = [text.rpartition(" AS ")[2].strip() for text in without_calls.split(", ")]
    return list(dict.fromkeys(half for name in plain for half in _HALVES.get(name, (name,))))


_LINK = "purpose, identity_key, winner, origin, touch_kind, touch_id, _ingested_at"
_INTEGERS = {
    "_offset", "_record_time", "_ingested_at", "step", "occurred_at", "status_at", "value", "payout", "touch_at", "weight", "sign",
}  # fmt: skip
_UNSIGNED = {"event_hi", "event_lo", "touch_hi", "touch_lo", "content", "_owner"}
_SMALL = {"bot", "moved", "judged", "revision", "model_version", "version"}
_COLUMNS = pl.DataFrame(
    schema={
        name: pl.Int64
        if name in _INTEGERS
        else pl.UInt64
        if name in _UNSIGNED
        else pl.UInt32
        if name in _SMALL
        else pl.String
        for name in dict.fromkeys(
            name
            for columns in (
                history._TOUCH,
                history._CONVERSION,
                history._REQUEST,
                history._CREDIT,
                _LINK,
                "sign",
            )
            for name in _names(columns)
        )
    }
)


def _chosen(rows: pl.DataFrame, columns: str) -> pl.DataFrame:
    return rows.select(*_names(columns), "_partition")


def _standing(requests: pl.DataFrame, credits: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The newest request of each transaction, route, person and origin, and the credits in force."""
    issued = _chosen(credits, f"{history._CREDIT}, sign")
    return history.standing(_chosen(requests, history._REQUEST)), history.in_force(issued)
