"""`funnel rewind`: take the journal back to an earlier moment, so that workers process again what Kafka has since then.

The order makes every step repeatable: nobody else may write, the rows go, the rollups are made anew. Interrupted, a worker refuses to start
over what is left, and the same command finishes it.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from deploy.offline import Members, OfflineError, refuse_live_workers
from schemas.topics import IDENTIFIED_TOPICS, TOPICS
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import Journal, known_sources, newest_flushes
from sinks.clickhouse.rebuild import missing_rows, rebuild
from sinks.clickhouse.removing import remove, wait_for_removals
from sinks.clickhouse.rewind import (
    Cut,
    Numbers,
    beyond,
    cuts,
    flush_at,
    flushes_since,
    late_forwards,
    overlapping,
)
from sinks.clickhouse.rollup import rollup_fences
from sinks.clickhouse.sql import literal
from streams.broker import LogEnds, describe_cluster
from streams.sources import name_sources
from streams.unit import Line

HOUR_MS = 3_600_000
Bounds = Mapping[Line, tuple[int, int]]


class Place(NamedTuple):
    """One record: everything from it on goes."""

    line: Line
    offset: int


class Plan(NamedTuple):
    """What goes of each source, and the log's first offset of each."""

    cuts: list[Cut]
    starts: dict[str, int]

    @property
    def firsts(self) -> dict[str, int]:
        """The first offset that goes of each source of which something goes."""
        return {cut.source: cut.first for cut in self.cuts if cut.rows}


def target(text: str, now: datetime) -> int | Place:
    """Return the moment (record time, ms) or the record that ``text`` names. Raises OfflineError."""
    head, _, offset = text.rpartition("/")
    topic, _, number = head.rpartition("/")
    if topic in TOPICS and number.isdecimal() and offset.isdecimal():
        return Place((topic, int(number)), int(offset))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OfflineError(
            f"{text!r} is neither a time (2026-11-23T10:00Z) nor a record (clicks/0/1234)"
        ) from None
    if moment.tzinfo is None:
        raise OfflineError(f"{text!r} does not say in which time zone: 2026-11-23T10:00Z is UTC")
    if moment > now:
        raise OfflineError(f"{text} is in the future")
    return int(moment.timestamp() * 1000)


class Rewind:
    """One rewind over a connection. ``now``: what time it is."""

    def __init__(
        self, values: Mapping[str, Any], connection: Connection, members: Members, now: datetime
    ) -> None:
        self._values = values
        self._journal = Journal(connection, values["group"])
        self._members = members
        self._now = now
        cluster = describe_cluster(values["kafka"], TOPICS)
        numbers = range(cluster.partitions[TOPICS[0]])
        lines = [(topic, number) for topic in TOPICS for number in numbers]
        known = known_sources(connection, cluster.id)
        self._sources = name_sources(cluster, lines, known, values["accept_log_loss"])
        self._numbers: Numbers = {
            number: [self._sources[topic, number] for topic in TOPICS] for number in numbers
        }
        self._token = secrets.randbits(63) | 1

    def stop_workers(self) -> None:
        """Make sure that nobody writes: no worker is in the group, and one that nevertheless runs loses its sources. Raises OfflineError."""
        refuse_live_workers(self._values, self._members)
        self._journal.take_ownership(list(self._sources.values()), self._token)

    def plan(self, to: str, accept_loss: bool) -> Plan:
        """Return what would go. Raises OfflineError where that cannot be, or could not be processed again."""
        connection = self._journal.connection
        wait_for_removals(connection)
        wanted = target(to, self._now)
        bounds = self._bounds()
        found = cuts(connection, self._numbers, self._since(wanted))
        plan = Plan(found, {self._sources[line]: start for line, (start, _) in bounds.items()})
        self._check(plan, {self._sources[line]: end for line, (_, end) in bounds.items()})
        if plan.firsts and not accept_loss and (missing := missing_rows(connection)):
            raise OfflineError(
                f"the journal no longer holds {missing:,} records that its flush rows account for (FUNNEL_JOURNAL_RETENTION_DAYS): rebuilt "
                "rollups would not have them either. --accept-loss takes that."
            )
        return plan

    @property
    def is_interrupted(self) -> bool:
        """Whether a rollup holds what the journal does not: an earlier rewind did not come to its end."""
        connection, sources = self._journal.connection, list(self._sources.values())
        fences = newest_flushes(connection, sources)
        return any(
            derived > fences.get(source, -1)
            for rollup in ROLLUPS
            for source, derived in rollup_fences(connection, rollup, sources).items()
        )

    def remove(self, plan: Plan, progress: Callable[[int], None] = lambda parts: None) -> None:
        """Remove what ``plan`` says on every replica; return when it is gone. Raises OfflineError where a worker came back meanwhile."""
        connection = self._journal.connection
        if plan.firsts:
            remove(connection, beyond(plan.firsts))
            wait_for_removals(connection, progress)
        owners = {
            source: connection.query(f"SELECT joinGet('owners', 'token', {literal(source)})")[0][0]
            for source in self._sources.values()
        }
        if taken := sorted(source for source, token in owners.items() if token != self._token):
            raise OfflineError(
                f"a worker has taken over {taken[0]} meanwhile: stop all workers and run the same command again"
            )

    def rebuild(self, progress: Callable[[str, int], None] = lambda name, rows: None) -> None:
        """Make every rollup anew; ``progress`` is called with its name and the records of each step."""
        for rollup in ROLLUPS:
            rebuild(
                self._journal,
                rollup,
                progress=lambda rows, name=rollup.name: progress(name, rows),  # type: ignore[misc]
            )

    def _bounds(self) -> Bounds:
        ends = LogEnds(self._values["kafka"], list(self._sources))
        try:
            return ends()
        finally:
            ends.close()

    def _since(self, wanted: int | Place) -> dict[int, int]:
        """Return per partition number when (ms) the first flush was packed that goes."""
        connection = self._journal.connection
        if isinstance(wanted, int):
            return flushes_since(connection, self._numbers, wanted)
        if wanted.line not in self._sources:
            raise OfflineError(f"there is no partition {wanted.line[1]} of {wanted.line[0]}")
        found = flush_at(connection, self._sources[wanted.line], wanted.offset)
        if found is None and self.is_interrupted:
            # That is what has gone already.
            return {}
        if found is None:
            raise OfflineError(
                f"the journal does not go up to {wanted.line[0]}/{wanted.line[1]}/{wanted.offset}"
            )
        ingested, time = found
        # All numbers go back to the same moment, as they do when a time is named.
        since = flushes_since(connection, self._numbers, time)
        number = wanted.line[1]
        return {**since, number: min(ingested, since.get(number, ingested))}

    def _check(self, plan: Plan, ends: Mapping[str, int]) -> None:
        connection = self._journal.connection
        for cut in plan.cuts:
            if cut.fence >= ends[cut.source]:
                raise OfflineError(
                    f"{cut.source}: the journal goes up to {cut.fence}, the log ends before {ends[cut.source]}: it is another log"
                )
            if cut.rows and cut.next_offset < plan.starts[cut.source]:
                raise OfflineError(
                    f"{cut.source}: offset {cut.next_offset} would have to be read again, but the log begins at {plan.starts[cut.source]}"
                )
        if not plan.firsts:
            return
        if twice := overlapping(connection, list(plan.firsts)):
            raise OfflineError(
                f"{twice[0]}: flushes overlap, so its offsets are those of more than one log (see the view ledger_overlaps)"
            )
        self._check_forwards(plan)

    def _check_forwards(self, plan: Plan) -> None:
        identified = [self._sources[line] for line in self._sources if line[0] in IDENTIFIED_TOPICS]
        window = self._values["dedup_window_hours"] * HOUR_MS
        if late := late_forwards(self._journal.connection, plan.firsts, identified, window):
            raise OfflineError(
                f"{late:,} records that go came in a wrong partition and would be forwarded again, more than {self._values['dedup_window_hours']} h "
                "later than the first time: no longer recognised, they would count twice. Rewind less far."
            )


def rows_in_words(rows: Mapping[str, int]) -> str:
    """Return numbers of rows by kind as text."""
    return ", ".join(f"{count:,} {kind}" for kind, count in sorted(rows.items())) or "nothing"


def total(plan: Plan) -> int:
    """Return how many rows go."""
    return sum(sum(cut.rows.values()) for cut in plan.cuts)
