"""From a log to all final numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from schemas.attribution import Models, default_models
from schemas.bounds import DEFAULTS, Bounds
from schemas.ids import route_of, transaction_route
from schemas.partitioning import partition_for
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
from simulator.log import Line, Log, Record
from simulator.oracle.count import Accepted, Transaction, state_of
from simulator.oracle.credit import Journeys, Touch, credits_of
from simulator.oracle.enrich import Enrich, enricher
from simulator.oracle.given import Given
from simulator.oracle.person import Persons
from simulator.oracle.reject import Reject, event_id_of, read
from simulator.oracle.repeat import DAY_MS, Identities, Revisions, TouchIds, Verdict, content_of
from simulator.oracle.result import Fate, Result, SourceResult, sources_of
from simulator.oracle.rollup import Rollup
from simulator.oracle.status import Statuses, add_statuses


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may have set otherwise than the rules' defaults. ``given``: a Schema Registry's ids, where it gives them."""

    dedup_window_ms: int = DAY_MS
    models: Models = field(default_factory=default_models)
    person_limit: int = 20
    bounds: Bounds = DEFAULTS
    country_mmdb: Path | None = None
    asn_mmdb: Path | None = None
    given: Mapping[int, Given] | None = None


_DEFAULTS = Rules()


def compute(log: Log, rules: Rules = _DEFAULTS, progress: Callable[[int], None] | None = None) -> Result:
    """Return what must come of ``log``; ``progress`` is told of every thousand records."""
    oracle = _Oracle(log, rules)
    for source in oracle.sources.values():
        _Line(oracle, source).read_all(progress)
    return oracle.finish()


@dataclass(slots=True)
class _Oracle:
    """What is known across lines."""

    log: Log
    rules: Rules
    sources: dict[str, SourceResult] = field(init=False)
    enrich: Enrich = field(init=False)
    journeys: Journeys = field(init=False)
    rollup: Rollup = field(default_factory=Rollup)
    statuses: Statuses = field(default_factory=dict)
    persons: Persons = field(init=False)
    conversions: dict[Transaction, list[Accepted]] = field(default_factory=dict)
    standing: dict[tuple[str, str, str], tuple[int, bool, str, int, int]] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    forwarded: list[tuple[str, int, Record]] = field(default_factory=list)

    def __post_init__(self) -> None:
        ordered = {line: self.log.lines[line] for line in sorted(self.log.lines, key=_by_topic)}
        self.sources = sources_of(self.log, ordered)
        self.persons = Persons(self.rules.person_limit)
        self.journeys = Journeys(self.rules.person_limit)
        self.enrich = enricher(self.rules.country_mmdb, self.rules.asn_mmdb)

    def finish(self) -> Result:
        """Count, credit and roll up what was accepted."""
        transactions = {key: state_of(events) for key, events in self.conversions.items()}
        credits = []
        for key, state in transactions.items():
            mine = list(credits_of(key, state, self.journeys, self.persons, self.rules.models))
            self.rollup.add_transaction(state)
            self.rollup.add_credits(state, mine)
            add_statuses(self.statuses, state, mine)
            credits += mine
        return Result(
            cluster_id=self.log.cluster_id,
            sources=self.sources,
            transactions=transactions,
            credits=credits,
            rollup=self.rollup,
            holders=self.holders,
            standing=self.standing,
            lost_forwards=self._lost_forwards(),
            models=self.rules.models,
            given=self.rules.given,
            statuses=self.statuses,
        )

    def _lost_forwards(self) -> list[str]:
        lines = {(topic, partition) for topic, partition, _ in self.forwarded}
        arrived = {
            (*line, record.time, record.value) for line in lines for record in self.log.lines[line].records
        }
        return [
            f"{topic}: a record forwarded to partition {partition} (time {record.time}) is not there"
            for topic, partition, record in self.forwarded
            if (topic, partition, record.time, record.value) not in arrived
        ]


def _by_topic(line: Line) -> tuple[int, int]:
    return TOPICS.index(line[0]), line[1]


class _Line:
    """One line, read in order of offset."""

    def __init__(self, oracle: _Oracle, source: SourceResult) -> None:
        self.oracle = oracle
        self.source = source
        self.topic, self.partition = source.line
        self.touch_ids = TouchIds(oracle.rules.dedup_window_ms)
        self.identities = Identities()
        self.revisions = Revisions()

    def read_all(self, progress: Callable[[int], None] | None) -> None:
        """Find the fate of every record."""
        for place, record in enumerate(self.source.span.records, 1):
            self.source.fates.append(self._fate(record))
            if progress is not None and place % 1000 == 0:
                progress(1000)

    def _fate(self, record: Record) -> Fate:
        rules = self.oracle.rules
        fields = read(self.topic, record.value, record.time, rules.given, rules.bounds)
        if isinstance(fields, Reject):
            return self._reject(record, fields)
        event_id = event_id_of(self.topic, fields)
        route = _route(self.topic, fields)
        home = partition_for(route.encode(), self.oracle.log.partitions)
        if home != self.partition:
            self.oracle.forwarded.append((self.topic, home, record))
            return Fate.FORWARDED
        verdict = self._verdict(record, fields, event_id)
        if verdict == Verdict.CONFLICT:
            return self._reject(record, Reject("conflict", "", event_id))
        if verdict == Verdict.DUPLICATE:
            self._hold(event_id, fields)
            return Fate.DUPLICATE
        self._accept(record, fields, event_id, route)
        return Fate.JOURNALED

    def _reject(self, record: Record, reject: Reject) -> Fate:
        self.source.rejects[record.offset] = reject
        self.oracle.holders.setdefault(reject.event_id, reject.event_id)
        return Fate.REJECTED

    def _verdict(self, record: Record, fields: Mapping[str, Any], event_id: str) -> Verdict:
        if self.topic in (*TOUCH_TOPICS, POSTBACKS, LINKS):
            return self.touch_ids.verdict(event_id, record.time, content_of(fields))
        if self.topic == CONVERSIONS:
            return self.identities.verdict(_identity(fields), content_of(fields))
        key = tuple(fields[name] for name in ("partner", "transaction_id", "route", "person", "origin"))
        return self.revisions.verdict(key, (fields["revision"], fields["step"], fields["moved"]))

    def _hold(self, event_id: str, fields: Mapping[str, Any]) -> None:
        """Note which accepted event a duplicate stands behind."""
        holder = event_id
        if self.topic == CONVERSIONS:
            events = self.oracle.conversions[fields["partner"], fields["transaction_id"]]
            twin = next(event for event in events if _identity(event.record) == _identity(fields))
            holder = twin.record["event_id"].lower()
        self.oracle.holders.setdefault(event_id, holder)

    def _accept(self, record: Record, fields: dict[str, Any], event_id: str, route: str) -> None:
        self.oracle.holders[event_id] = event_id
        if self.topic == CREDIT_REQUESTS:
            if fields["person"] != "":
                return
            key = fields["partner"], fields["transaction_id"], route
            state = (fields["revision"], fields["moved"], fields["status"], fields["value"], fields["payout"])
            self.oracle.standing[key] = state
            return
        if self.topic == LINKS:
            self.oracle.persons.add_login(fields)
        if self.topic in (POSTBACKS, LINKS):
            return
        enrichment = self.oracle.enrich(fields)
        self.source.enrichments[record.offset] = enrichment
        if self.topic == CONVERSIONS:
            transaction = fields["partner"], fields["transaction_id"]
            self.oracle.conversions.setdefault(transaction, []).append(Accepted(fields, enrichment))
            return
        self.oracle.rollup.add_touch(KIND_OF_TOPIC[self.topic], fields, enrichment)
        if self.topic in TOUCH_TOPICS:
            touch = Touch(
                fields["occurred_at"],
                event_id,
                fields["visitor_id"],
                route,
                KIND_OF_TOPIC[self.topic],
                fields["campaign"],
                fields["affiliate"],
                fields["offer"],
                enrichment.channel,
                enrichment.country,
                enrichment.device,
                enrichment.bot,
            )
            if self.topic == CLICKS:
                self.oracle.journeys.add_click(fields["click_id"], fields["external_id"], touch)
            elif self.topic == LEADS:
                self.oracle.journeys.add_lead(fields["lead_id"], touch)
                self.oracle.persons.add_lead(fields)
            else:
                self.oracle.journeys.add_touch(touch)


def _route(topic: str, fields: Mapping[str, Any]) -> str:
    if topic in (CREDIT_REQUESTS, LINKS):
        return str(fields["route"])
    if topic in (CONVERSIONS, POSTBACKS):
        return transaction_route(fields["partner"], fields["transaction_id"])
    return route_of(fields["visitor_id"])


def _identity(fields: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return fields["partner"], fields["transaction_id"], fields["status"], fields["status_at"]
