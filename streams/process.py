"""Processing a unit: decode, validate, forward, deduplicate, enrich, count, attribute, and the rows that remain.

Everything here is a function of the unit, the state in memory and the journal's cold part; the clock and Kafka stay outside.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from schemas.attribution import counts
from schemas.framing import reframed
from schemas.topics import (
    CLICKS,
    CONVERSIONS,
    CREDIT_REQUESTS,
    KIND_OF_TOPIC,
    LEADS,
    LINKS,
    POSTBACKS,
    TOPICS,
    TOUCH_TOPICS,
)
from streams.broker import Hop
from streams.cold import Cold
from streams.counting import count_conversions
from streams.crediting import Hit, credit, take_requests
from streams.linking import Cause, aliases, claims, link_hops, put_aliases, sent_on, take_claims, take_pair
from streams.requesting import Wish, sent_on_hops
from streams.resolving import Resolver
from streams.rows import flush_frame
from streams.settings import WorkerSettings
from streams.state.hashing import U64, hash_of, id_hashes, string_hashes
from streams.state.partition import PartitionState
from streams.steps.batch import RawBatch, joined
from streams.steps.decode import decode
from streams.steps.deduplicate import CONFLICT_REASON, counted, split
from streams.steps.enrich import Lookups, enrich
from streams.steps.rejects import REFUSED_REASON, attach_raw
from streams.steps.route import partitions, routes, transaction_routes
from streams.steps.uuids import parse_uuids
from streams.steps.validate import validate
from streams.unit import Line, Outcome, Tally, Unit


@dataclass(slots=True)
class Processor:
    """The steps with the state they need: one partition state per owned partition number, and the source name per line."""

    settings: WorkerSettings
    lookups: Lookups
    states: dict[int, PartitionState]
    sources: Mapping[Line, str]
    partitions: int
    cold: Cold | None = None
    resolver: Resolver | None = None
    refused: Mapping[Line, Mapping[int, str]] = field(default_factory=dict)
    """Offsets whose rows ClickHouse did not take, and what it says: they become rejects."""

    def process(self, unit: Unit) -> Outcome:
        """Turn ``unit`` into journal rows and hops. The state moves on at once."""
        run = _Run(self, unit)
        for topic in TOPICS:
            if topic in unit.batches:
                run.topic(topic, joined(unit.batches[topic]))
        return run.finish()


class _Run:
    """One unit on its way through the steps."""

    def __init__(self, processor: Processor, unit: Unit) -> None:
        self.processor = processor
        self.unit = unit
        self.frames: list[pl.DataFrame] = []
        self.tail: list[pl.DataFrame] = []
        self.hops: list[Hop] = []
        self.hits: list[Hit] = []
        self.links: list[Wish] = []
        self.times: list[pl.Series] = []
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Account the CPU seconds of this thread to a stage."""
        start = time.thread_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.thread_time() - start

    def topic(self, topic: str, raw: RawBatch) -> None:
        with self.stage("decode"):
            resolver = self.processor.resolver
            frame, rejects = decode(raw, resolver.given(raw) if resolver else None)
            self._reject(topic, raw, rejects, attached=True)
        with self.stage("validate"):
            frame, rejects = validate(topic, frame, self.processor.settings.bounds)
            self._reject(topic, raw, rejects)
            frame = self._refuse(topic, raw, frame)
            frame = self._with_route(topic, frame)
            frame = self._forward(topic, raw, frame)
        self._note_time(raw)
        if topic in TOUCH_TOPICS:
            self._touches(topic, raw, frame)
        elif topic == CONVERSIONS:
            self._conversions(raw, frame)
        elif topic == CREDIT_REQUESTS:
            self._requests(raw, frame)
        elif topic == POSTBACKS:
            self._postbacks(raw, frame)
        elif topic == LINKS:
            self._links(raw, frame)

    def finish(self) -> Outcome:
        """Credit what is affected, and close the unit."""
        with self.stage("cold"):
            if self.processor.cold is not None:
                places = sorted({(hit.partition, hit.key[2]) for hit in self.hits})
                self.processor.cold.journeys(self.processor.states, places)
        onward: list[Wish] = []
        with self.stage("attribute"):
            for number, state in self.processor.states.items():
                mine = [hit for hit in self.hits if hit.partition == number]
                rows = credit(state, mine, onward)
                if rows is not None:
                    self.frames.append(rows)
            self.hops += self._framed(sent_on_hops(onward, self.processor.partitions))
            self.hops += self._framed(link_hops(self.links, self.processor.partitions))
        with self.stage("rows"):
            frames = [*self.frames, *self.tail, self._flush_rows()]
        for state in self.processor.states.values():
            state.sweep(self.processor.settings.hot_window_ms)
        return Outcome(frames, self.hops, self.unit.tallies, pl.concat(self.times), self.seconds)

    def _touches(self, topic: str, raw: RawBatch, frame: pl.DataFrame) -> None:
        accepted = self._identified(topic, raw, frame)
        with self.stage("enrich"):
            accepted = self._journaled(topic, enrich(accepted, self.processor.lookups))
            self.frames.append(accepted)
        remembered = topic in (CLICKS, LEADS) or counts(self.processor.settings.models, "impression")
        if remembered and accepted.height:
            with self.stage("remember"):
                self._remember(accepted)
        if topic in (CLICKS, LEADS) and accepted.height:
            with self.stage("link"):
                self.links += aliases(accepted)
                self.links += claims(accepted) if topic == LEADS else []

    def _postbacks(self, raw: RawBatch, frame: pl.DataFrame) -> None:
        accepted = self._identified(POSTBACKS, raw, frame)
        self.frames.append(self._journaled(POSTBACKS, accepted))

    def _identified(self, topic: str, raw: RawBatch, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the records whose ids are new; account for the others."""
        with self.stage("deduplicate"):
            kept = split(frame, self._verdicts(topic, frame))
            self._duplicates(topic, kept.duplicates)
            self._conflicts(topic, raw, kept.conflicts)
        return kept.accepted

    def _verdicts(self, topic: str, frame: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        keys = id_hashes(frame["event_hi"].to_numpy(), frame["event_lo"].to_numpy())
        times, contents = frame["_record_time"].to_numpy(), frame["content"].to_numpy()
        verdict = np.zeros(frame.height, dtype=np.int8)
        for number, rows in _slices(frame):
            seen = self.processor.states[number].ids[topic]
            verdict[rows] = seen.check(keys[rows], times[rows], contents[rows])
        return verdict

    def _remember(self, accepted: pl.DataFrame) -> None:
        """Put touches among those remembered, and note which requests they concern."""
        if self.processor.cold is not None:
            self.processor.cold.late(self.processor.states, accepted)
        for number, rows in _slices(accepted):
            state = self.processor.states[number]
            part = accepted[rows]
            start = state.touches.rows
            hashes = state.touches.add(part)
            self._send_on(state, start, hashes["visitor"])
            concerned = [one for values in hashes.values() for one in state.requests.concerned(values)]
            if concerned:
                places, keys = zip(*concerned, strict=True)
                triggers = part.select("_source", "_offset", "_record_time")[list(places)].rows()
                self.hits += [Hit(number, key, trigger) for key, trigger in zip(keys, triggers, strict=True)]

    def _send_on(self, state: PartitionState, start: int, visitors: U64) -> None:
        """Send those of the touches just remembered, from row ``start`` on, to the visitor that theirs belongs to."""
        belonging = state.links.belonging(visitors)
        if belonging.any():
            rows = np.flatnonzero(belonging)
            self.links += sent_on(state.touches, state.links, start + rows, visitors[rows], "", 0)

    def _links(self, raw: RawBatch, frame: pl.DataFrame) -> None:
        accepted = self._journaled(LINKS, self._identified(LINKS, raw, frame))
        with self.stage("link"):
            ids = parse_uuids(accepted["touch_id"])
            halves = pl.Series("touch_hi", ids.high), pl.Series("touch_lo", ids.low)
            accepted = accepted.with_columns(*halves, pl.col("bot").cast(pl.UInt8)).drop("touch_id")
            self._load_linked(accepted)
            claimed = accepted.filter(purpose="claim")
            verdicts, wishes = take_claims(self.processor.states, claimed)
            self.links += wishes
            self.frames += [
                claimed.with_columns(verdict=pl.Series(verdicts, dtype=pl.String)),
                accepted.filter(pl.col("purpose") != "claim"),
            ]
            self._pairs(accepted.filter(purpose="pair"))
            self._sent_touches(accepted.filter(purpose="touch"))
            self._aliases(accepted.filter(purpose="alias"))

    def _load_linked(self, frame: pl.DataFrame) -> None:
        """Load what is older of the keys that are claimed and of the visitors that are joined."""
        if self.processor.cold is not None and frame.height:
            states = self.processor.states
            self.processor.cold.claims(states, frame.filter(purpose="claim"))
            self.processor.cold.late(states, frame.filter(purpose="alias"))
            others = frame.filter(pl.col("purpose").is_in(["pair", "touch"]))
            rows = others.select("_partition", "route", "visitor_id", "origin").unique().rows()
            news = {
                (number, route)
                for number, route, visitor, origin in rows
                if not origin or not states[number].links.joined(visitor, origin)
            }
            self.processor.cold.journeys(states, sorted(news))

    def _pairs(self, frame: pl.DataFrame) -> None:
        # A loop over rows: each depends on the one before it, and they are few.
        for row in frame.iter_rows(named=True):
            state = self.processor.states[row["_partition"]]
            cause = Cause(row["occurred_at"], row["_record_time"])
            self.links += take_pair(state, row["visitor_id"], row["winner"], cause)
            trigger = row["_source"], row["_offset"], row["_record_time"]
            concerned = state.requests.concerned(np.array([hash_of(row["visitor_id"])], dtype=np.uint64))
            self.hits += [Hit(row["_partition"], key, trigger) for _, key in concerned]

    def _aliases(self, frame: pl.DataFrame) -> None:
        """Remember which visitors ids lead to, and look again at the requests that name one."""
        if not frame.height:
            return
        touch = {"kind": "touch_kind", "event_hi": "touch_hi", "event_lo": "touch_lo"}
        put_aliases(
            self.processor.states,
            frame.with_columns(**{name: pl.col(column) for name, column in touch.items()}),
        )
        for number, rows in _slices(frame):
            requests = self.processor.states[number].requests
            part = frame[rows]
            for place, key in requests.concerned(string_hashes(part["identity_key"])):
                self.hits.append(
                    Hit(number, key, part.select("_source", "_offset", "_record_time").row(place))
                )

    def _sent_touches(self, frame: pl.DataFrame) -> None:
        if not frame.height:
            return
        for number, visitor, origin in (
            frame.select("_partition", "visitor_id", "origin").unique().iter_rows()
        ):
            self.processor.states[number].links.join(visitor, origin)
        touch = {"kind": "touch_kind", "event_hi": "touch_hi", "event_lo": "touch_lo"}
        none = {name: pl.lit("") for name in ("click_id", "lead_id")}
        self._remember(frame.with_columns(**none, **{name: pl.col(column) for name, column in touch.items()}))

    def _conversions(self, raw: RawBatch, frame: pl.DataFrame) -> None:
        with self.stage("enrich"):
            frame = self._journaled(CONVERSIONS, enrich(frame, self.processor.lookups))
        with self.stage("cold"):
            if self.processor.cold is not None:
                self.processor.cold.transactions(self.processor.states, frame)
        with self.stage("count"):
            counted_rows = count_conversions(self.processor.states, frame, self.processor.partitions)
            kept = split(frame, counted_rows.verdict)
            self._duplicates(CONVERSIONS, kept.duplicates)
            self._conflicts(CONVERSIONS, raw, kept.conflicts)
            # What tells these rows from those of workers that knew no flag: theirs are taken back as they stand.
            accepted = kept.accepted.with_columns(judged=pl.lit(1, pl.UInt8))
            self.frames += [accepted, counted_rows.rows]
            self.hops += self._framed(counted_rows.hops)

    def _framed(self, requests: list[Hop]) -> list[Hop]:
        """Return hops of our own making under the id that the Schema Registry has given their schema, if there is one."""
        resolver = self.processor.resolver
        if resolver is None:
            return requests
        return [hop._replace(value=reframed(resolver.ours[hop.topic], hop.value)) for hop in requests]

    def _requests(self, raw: RawBatch, frame: pl.DataFrame) -> None:
        with self.stage("cold"):
            if self.processor.cold is not None:
                places = frame.select("_partition", "route").unique().rows()
                self.processor.cold.journeys(self.processor.states, places)
        with self.stage("attribute"):
            frame = self._journaled(CREDIT_REQUESTS, frame)
            verdict, hits = take_requests(self.processor.states, frame)
            kept = split(frame, verdict)
            self._duplicates(CREDIT_REQUESTS, kept.duplicates)
            self.hits += hits
            self.frames.append(kept.accepted)

    def _with_route(self, topic: str, frame: pl.DataFrame) -> pl.DataFrame:
        if topic in TOUCH_TOPICS:
            return frame.with_columns(route=routes(frame["visitor_id"]))
        if topic in (CONVERSIONS, POSTBACKS):
            return frame.with_columns(route=transaction_routes(frame["partner"], frame["transaction_id"]))
        return frame

    def _forward(self, topic: str, raw: RawBatch, frame: pl.DataFrame) -> pl.DataFrame:
        """Send records that are in the wrong partition on to the right one; leave a row of kind forward behind."""
        home = partitions(frame["route"], self.processor.partitions)
        astray = home != frame["_partition"].to_numpy()
        if not astray.any():
            return frame
        lost = frame.filter(pl.Series(astray))
        # A loop over rows: such records come from producers with a foreign partitioner, and each is a message of its own.
        for row, destination in zip(lost.iter_rows(named=True), home[astray].tolist(), strict=True):
            value = raw.value[row["_row"]]
            assert value is not None, "a record without a value was rejected before"
            self.hops.append(Hop(topic, destination, row["route"].encode(), value, row["_record_time"]))
        columns = ["_partition", "_offset", "_record_time", "event_hi", "event_lo", "route", "occurred_at"]
        self.tail.append(self._journaled(topic, lost.select(columns), kind="forward"))
        return frame.filter(pl.Series(~astray))

    def _reject(self, topic: str, raw: RawBatch, rejects: pl.DataFrame, attached: bool = False) -> None:
        if not rejects.height:
            return
        for number, count in counted(rejects["_partition"]).items():
            self.unit.tallies[topic, number].rejects += count
        rejects = rejects if attached else attach_raw(raw, rejects)
        if "occurred_at" not in rejects.columns:
            rejects = rejects.with_columns(occurred_at=pl.col("_record_time"))
        self.tail.append(self._journaled(topic, rejects, kind="reject"))

    def _refuse(self, topic: str, raw: RawBatch, frame: pl.DataFrame) -> pl.DataFrame:
        """Reject the records that ClickHouse did not take."""
        for number in frame["_partition"].unique() if self.processor.refused else ():
            reasons = self.processor.refused.get((topic, number), {})
            hit = (pl.col("_partition") == number) & pl.col("_offset").is_in(list(reasons))
            columns = ["_partition", "_offset", "_record_time", "_row", "event_hi", "event_lo", "occurred_at"]
            detail = pl.col("_offset").replace_strict(reasons, default="", return_dtype=pl.String)
            rejects = frame.filter(hit).select(columns)
            self._reject(topic, raw, rejects.with_columns(reason=pl.lit(REFUSED_REASON), detail=detail))
            frame = frame.filter(~hit)
        return frame

    def _conflicts(self, topic: str, raw: RawBatch, conflicts: pl.DataFrame) -> None:
        if conflicts.height:
            rejects = conflicts.with_columns(reason=pl.lit(CONFLICT_REASON), detail=pl.lit(""))
            columns = [
                "_partition",
                "_offset",
                "_record_time",
                "_row",
                "event_hi",
                "event_lo",
                "occurred_at",
                "reason",
                "detail",
            ]
            self._reject(topic, raw, rejects.select(columns))

    def _duplicates(self, topic: str, duplicates: Mapping[int, int]) -> None:
        for number, count in duplicates.items():
            self.unit.tallies[topic, number].duplicates += count

    def _journaled(self, topic: str, frame: pl.DataFrame, kind: str | None = None) -> pl.DataFrame:
        """Add the source of each row and its kind."""
        known = {line[1]: source for line, source in self.processor.sources.items() if line[0] == topic}
        kind = kind or {"credit-request": "request"}.get(KIND_OF_TOPIC[topic], KIND_OF_TOPIC[topic])
        source = pl.col("_partition").replace_strict(known, return_dtype=pl.String)
        return frame.with_columns(_source=source, kind=pl.lit(kind))

    def _note_time(self, raw: RawBatch) -> None:
        self.times.append(pl.Series(raw.record_time))
        for number, rows in _slices_of(raw.partition):
            state = self.processor.states[number]
            state.newest = max(state.newest, int(raw.record_time[rows].max()))

    def _flush_rows(self) -> pl.DataFrame:
        return flush_frame(
            [
                {
                    "kind": "flush",
                    "_source": self.processor.sources[line],
                    "_offset": tally.last_offset,
                    "_record_time": tally.last_time,
                    "first_offset": tally.first_offset,
                    "occurred_at": tally.last_time,
                    "received": tally.received,
                    "journaled": tally.journaled,
                    "duplicates": tally.duplicates,
                    "rejects": tally.rejects,
                }
                for line, tally in _by_source(self.processor.sources, self.unit.tallies)
            ]
        )


def _by_source(sources: Mapping[Line, str], tallies: Mapping[Line, Tally]) -> list[tuple[Line, Tally]]:
    return sorted(tallies.items(), key=lambda item: sources[item[0]])


def _slices(frame: pl.DataFrame) -> list[tuple[int, slice]]:
    return _slices_of(frame["_partition"].to_numpy())


def _slices_of(numbers: np.ndarray[tuple[int], np.dtype[np.int32]]) -> list[tuple[int, slice]]:
    """Return (partition number, rows) of each run of equal numbers; a batch is contiguous per partition."""
    if not len(numbers):
        return []
    starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist()]
    ends = [*starts[1:], len(numbers)]
    return [(int(numbers[start]), slice(start, end)) for start, end in zip(starts, ends, strict=True)]
