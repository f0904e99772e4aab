"""`funnel audit`: does the journal account for every record of Kafka's log, and where does it first not?

The ledger states per source and flush how many records were received, and what became of them. Here both sides are counted anew: the
records that are in the log between a flush's offsets, and the rows that the journal holds for them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from deploy.settings import clickhouse_settings
from schemas.topics import TOPICS
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.journal import known_sources, newest_flushes
from sinks.clickhouse.sql import literal
from streams.broker import LogEnds, Offsets, describe_cluster, log_offsets
from streams.sources import name_sources

OWN = ("impression", "click", "lead", "conversion", "request", "postback", "link", "forward")
"""Kinds of which a record leaves one row, unless it is a duplicate or a reject."""


class Flush(NamedTuple):
    """A flush row as it is stated (offsets, and counts of records), and the rows that are there for its offsets: of events, of rejects,
    and how many different offsets these have."""

    first: int
    last: int
    received: int
    journaled: int
    duplicates: int
    rejects: int
    found: int
    found_rejects: int
    found_offsets: int
    expired: int = 0
    """1 where rows of it may have gone (FUNNEL_JOURNAL_RETENTION_DAYS)."""


class Audit(NamedTuple):
    """One source: records in the log, records that the ledger has, those still to be read; and where the two first part, empty if nowhere."""

    source: str
    in_log: int
    received: int
    duplicates: int
    rejects: int
    waiting: int
    part: str


def audit_source(source: str, start: int, end: int, offsets: Offsets, flushes: Sequence[Flush]) -> Audit:
    """Compare a source's flushes, in order, with its log: the first and next offset that Kafka has, and the ``offsets`` of its records.

    What the log no longer holds is taken on the ledger's word. Offsets without a record (transactions, compaction) are no loss.
    """
    part = next((found for found in _parts(start, offsets, flushes) if found), "")
    fence = flushes[-1].last if flushes else start - 1
    if not part and fence >= end:
        part = f"offset {end}: the log ends before it, the ledger goes on to {fence}: another log, or one that has lost records"
    return Audit(
        source,
        len(offsets),
        sum(flush.received for flush in flushes),
        sum(flush.duplicates for flush in flushes),
        sum(flush.rejects for flush in flushes),
        int((offsets > fence).sum()),
        part,
    )


def _parts(start: int, offsets: Offsets, flushes: Sequence[Flush]) -> list[str]:
    found = []
    expected = start
    for number, flush in enumerate(flushes):
        if number and flush.first < expected:
            found.append(f"offset {flush.first}: read twice, up to {expected - 1}")
        elif flush.first > expected and (lost := _between(offsets, expected, flush.first - 1)):
            found.append(f"offset {expected}: {lost} records up to {flush.first - 1} were never read")
        found.append(_wrong(start, offsets, flush))
        expected = flush.last + 1
    return found


def _wrong(start: int, offsets: Offsets, flush: Flush) -> str:
    """What is wrong with one flush, empty if nothing."""
    name = f"offset {flush.first} (flush up to {flush.last}):"
    if flush.received != flush.journaled + flush.duplicates + flush.rejects:
        return f"{name} {flush.received} received, {flush.journaled} + {flush.duplicates} + {flush.rejects} accounted for"
    if flush.first >= start and (there := _between(offsets, flush.first, flush.last)) != flush.received:
        return f"{name} the log has {there} records, the ledger {flush.received}"
    if flush.expired:
        return ""
    if flush.found != flush.journaled:
        return f"{name} the journal has {flush.found} of {flush.journaled} rows"
    if flush.found_rejects != flush.rejects:
        return f"{name} the journal has {flush.found_rejects} of {flush.rejects} rejects"
    if flush.found_offsets != flush.found + flush.found_rejects:
        return f"{name} a record has more than one row"
    return ""


def _between(offsets: Offsets, first: int, last: int) -> int:
    return int(np.searchsorted(offsets, last, "right") - np.searchsorted(offsets, first, "left"))


def read_flushes(connection: Connection, source: str, fence: int, retention_days: int) -> list[Flush]:
    """Return the flush rows of ``source`` up to ``fence``, in order, with what the journal holds for each; ``retention_days`` 0: of all of it.

    A row belongs to the first flush that ends at or behind it.
    """
    own = ", ".join(map(literal, OWN))
    expired = f"_ingested_at < now() - INTERVAL {retention_days} DAY" if retention_days else "0"
    rows = connection.query(
        "SELECT f.first_offset, f.last, f.received, f.journaled, f.duplicates, f.rejects, r.found, r.found_rejects, r.offsets, f.expired FROM "
        f"(SELECT first_offset, _offset AS last, received, journaled, duplicates, rejects, {expired} AS expired FROM journal "
        f"WHERE kind = 'flush' AND _source = {literal(source)} AND _offset <= {fence}) AS f "
        "LEFT JOIN (SELECT last, countIf(kind != 'reject') AS found, countIf(kind = 'reject') AS found_rejects, uniqExact(_offset) AS offsets "
        f"FROM (SELECT toString(kind) AS kind, _offset, 1 AS one FROM journal WHERE kind IN ({own}, 'reject') AND _source = {literal(source)}) AS j "
        f"ASOF JOIN (SELECT _offset AS last, 1 AS one FROM journal WHERE kind = 'flush' AND _source = {literal(source)}) AS e "
        "ON j.one = e.one AND j._offset <= e.last GROUP BY last) AS r ON f.last = r.last ORDER BY f.last, f.first_offset"
    )
    return [Flush(*map(int, row)) for row in rows]


def audit(values: Mapping[str, Any], console: Console) -> bool:
    """Audit every source of the present cluster and print what was found; return whether all is accounted for. Raises KafkaAway."""
    cluster = describe_cluster(values["kafka"], TOPICS)
    lines = [(topic, number) for topic in TOPICS for number in range(cluster.partitions[topic])]
    connection = connect(clickhouse_settings(values))
    try:
        sources = name_sources(cluster, lines, known_sources(connection, cluster.id))
        # Fences first, then what is below them, then the log: what lands meanwhile is looked at by the next audit.
        fences = newest_flushes(connection, list(sources.values()))
        flushes = {
            line: read_flushes(connection, source, fences[source], values["journal_retention_days"])
            if source in fences
            else []
            for line, source in sources.items()
        }
    finally:
        connection.close()
    ends = LogEnds(values["kafka"], lines)
    try:
        bounds = ends()
    finally:
        ends.close()
    offsets = log_offsets(values["kafka"], bounds)
    audits = [audit_source(sources[line], *bounds[line], offsets[line], flushes[line]) for line in lines]
    show(console, audits)
    return not any(one.part for one in audits)


def show(console: Console, audits: Sequence[Audit]) -> None:
    """Print the audits and, for every source where log and ledger part, the first place."""
    table = Table(
        "source",
        "in the log",
        "received",
        "duplicates",
        "rejects",
        "to be read",
        "",
        title="Kafka's log beside the journal",
    )
    for one in audits:
        counts = (one.in_log, one.received, one.duplicates, one.rejects, one.waiting)
        table.add_row(
            one.source, *(f"{count:,}" for count in counts), "[red]part[/]" if one.part else "agree"
        )
    console.print(table)
    for one in audits:
        if one.part:
            console.print(
                f"{one.source}: {one.part}", style="red", soft_wrap=True, markup=False, highlight=False
            )
    if not any(one.part for one in audits):
        waiting = sum(one.waiting for one in audits)
        console.print(
            "audited: every record is accounted for"
            + (f", {waiting:,} are still to be read" if waiting else "")
        )
