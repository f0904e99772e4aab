"""Flush rows: everything read is accounted for, once (P5)."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from simulator.checks.reading import Tables
from simulator.oracle.result import Fate, Result, SourceResult
from simulator.report import Check, Differences, equal

_NONE = "none"


class Flush(NamedTuple):
    """What one flush row says of one source."""

    first: int
    last: int
    received: int
    journaled: int
    duplicates: int
    rejects: int


Counts = tuple[int, int, int, int]
"""Received, journaled, duplicates, rejects."""


def ledger_checks(result: Result, tables: Tables) -> Iterator[Check]:
    """Compare the ledger's totals per source, then flush row by flush row."""
    flushes = _flushes(tables)
    expected = {name: _counts(source, 0, len(source.fates)) for name, source in result.sources.items()}
    actual = {name: _totals(rows) for name, rows in flushes.items()}
    names = sorted(expected.keys() | actual.keys())
    for place, measure in enumerate(("received", "journaled", "duplicates", "rejects")):
        pairs = [
            (name, expected.get(name, (0,) * 4)[place], actual.get(name, (0,) * 4)[place]) for name in names
        ]
        differing = (
            f"{name}: expected {want:,}, found {have:,}" for name, want, have in pairs if want != have
        )
        yield equal(f"ledger: {measure}", sum(p[1] for p in pairs), sum(p[2] for p in pairs), differing)
    yield _continuity(result, flushes)
    yield _rows(result, flushes)


def _flushes(tables: Tables) -> dict[str, list[Flush]]:
    rows = tables.read(
        "SELECT toString(_source), first_offset, _offset, received, journaled, duplicates, rejects "
        f"FROM {tables.journal} WHERE kind = 'flush' AND {tables.is_ours} ORDER BY _source, _offset, first_offset"
    )
    flushes: dict[str, list[Flush]] = {}
    for source, *numbers in rows:
        flushes.setdefault(source, []).append(Flush(*map(int, numbers)))
    return flushes


def _totals(rows: Sequence[Flush]) -> Counts:
    return (
        sum(row.received for row in rows),
        sum(row.journaled for row in rows),
        sum(row.duplicates for row in rows),
        sum(row.rejects for row in rows),
    )


def _counts(source: SourceResult, start: int, end: int) -> Counts:
    """What the oracle counts among the records at places ``start`` to below ``end``."""
    fates = source.fates[start:end]
    journaled = fates.count(Fate.JOURNALED) + fates.count(Fate.FORWARDED)
    return end - start, journaled, fates.count(Fate.DUPLICATE), fates.count(Fate.REJECTED)


def _continuity(result: Result, flushes: Mapping[str, Sequence[Flush]]) -> Check:
    """Covered ranges follow each other from the log's start to its end."""
    found = Differences()
    for name, source in result.sources.items():
        rows = flushes.get(name, [])
        at = source.span.start if not rows else min(rows[0].first, source.span.start)
        for row in rows:
            if row.first != at:
                found.add(f"{name}: a flush begins at {row.first}, the one before ended at {at - 1}")
            at = row.last + 1
        if source.span.records and not source.span.records[-1].offset < at <= source.span.end:
            found.add(f"{name}: covered to {at - 1}, the log goes to {source.span.end - 1}")
    return found.check("ledger: gaps and overlaps", _NONE, found.count or _NONE)


def _rows(result: Result, flushes: Mapping[str, Sequence[Flush]]) -> Check:
    """Every flush row says of its range what the oracle finds there, and adds up."""
    found = Differences()
    count = 0
    for name, rows in flushes.items():
        source = result.sources.get(name)
        if source is None:
            found.add(f"{name}: no such source in the log")
            continue
        offsets = [record.offset for record in source.span.records]
        for row in rows:
            count += 1
            want = _counts(source, bisect_left(offsets, row.first), bisect_right(offsets, row.last))
            have = (row.received, row.journaled, row.duplicates, row.rejects)
            if want != have or row.received != row.journaled + row.duplicates + row.rejects:
                found.add(f"{name} {row.first}–{row.last}: {_said(want)} expected, {_said(have)} found")
    return found.check("ledger: flush rows", count, count - found.count)


def _said(counts: Counts) -> str:
    return f"{counts[0]} = {counts[1]} + {counts[2]} + {counts[3]}"
