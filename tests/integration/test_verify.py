"""Verify over real tables: it agrees with what the pipeline's steps made of a log, and notices whatever is wrong with them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

from deploy.embedded.clickhouse import ClickHouseServer
from schemas.attribution import default_models
from schemas.ids import route_of
from schemas.partitioning import partition_for
from simulator.checks.reading import Reader, Row
from simulator.log import Log, Record, Span
from simulator.oracle.compute import Rules, compute
from simulator.oracle.reject import read
from simulator.oracle.result import Result
from simulator.report import Report, render
from simulator.verify import verify
from sinks.clickhouse.client import connect
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.migrate import apply_migrations
from sinks.clickhouse.rollup import derive
from sinks.clickhouse.settings import ClickHouseSettings
from tests.integration.test_processor_against_oracle import CLUSTER, LIMIT, NOW, PARTITIONS, Model

TOKEN = 7
EVENTS = 800


class Filled(NamedTuple):
    """Tables with one cluster's rows, and what is expected of it."""

    log: Log
    result: Result
    read: Reader
    acknowledged: dict[str, str]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    """An earlier cluster's rows are there as well, only part of them derived: its worker was killed."""
    directory = tmp_path_factory.mktemp("clickhouse")
    with ClickHouseServer(directory, password="secret") as server:
        settings = ClickHouseSettings(port=server.port, password="secret")
        connection = connect(settings)
        apply_migrations(connection, settings)
        journal = Journal(connection, "group")
        insert(journal, Model(21, EVENTS, default_models()), "earlier", derived=4)
        model = Model(22, EVENTS, default_models())
        # Whether a random wrong key leads to a wrong partition is chance; this one does.
        astray = next(record for record in model.log["clicks", 0] if is_at_home(record))
        model.append("clicks", 1, astray.key, astray.value, astray.time)
        insert(journal, model, CLUSTER, derived=None)
        spans = {line: Span(0, len(records), records) for line, records in model.log.items()}
        log = Log(CLUSTER, PARTITIONS, spans)
        result = compute(log, Rules(person_limit=LIMIT))
        yield Filled(log, result, connection.query, dict.fromkeys(result.holders, "event"))
        connection.close()


def is_at_home(record: Record) -> bool:
    """Whether a record of clicks is valid and belongs in partition 0."""
    click = read("clicks", record.value, record.time)
    return isinstance(click, dict) and partition_for(route_of(click["visitor_id"]).encode(), PARTITIONS) == 0


def insert(journal: Journal, model: Model, cluster: str, derived: int | None) -> None:
    """Process the model's log, insert its rows, and derive all sources or the first few."""
    model.run(300)
    frames = [frame for kind in list(model.frames) for frame in model.frames[kind]]
    frame = pl.concat(frames, how="diagonal").with_columns(
        _source=pl.col("_source").str.replace(f"^{CLUSTER}/", f"{cluster}/"),
        _ingested_at=pl.lit(NOW, dtype=pl.Int64),
        _owner=pl.lit(TOKEN, dtype=pl.UInt64),
    )
    sources = sorted(frame["_source"].unique().to_list())
    journal.take_ownership(sources, TOKEN)
    journal.insert(journal.pack(frame), cluster, sources, TOKEN)
    for rollup in ROLLUPS:
        while derive(journal, rollup, sources[:derived], TOKEN).more:
            pass


def failing(report: Report) -> set[str]:
    return {check.name for check in report.checks if not check.ok}


def test_everything_agrees(filled: Filled) -> None:
    report = verify(filled.result, filled.read, filled.acknowledged)
    assert failing(report) == set()
    assert report.ok
    assert len(report.checks) > 30
    assert {check.expected for check in report.checks if check.name == "ledger: received"} == {
        f"{sum(len(span.records) for span in filled.log.lines.values()):,}"
    }


Change = Callable[[list[list[Any]]], Sequence[Row]]


class Tampering(NamedTuple):
    """Rows of the query that has ``needle`` in it come changed; ``noticed`` are the checks that must fail, and no others."""

    needle: str
    change: Change
    noticed: set[str]


def without_first(rows: list[list[Any]]) -> list[list[Any]]:
    return rows[1:]


def doubled_first(rows: list[list[Any]]) -> list[list[Any]]:
    return rows[:1] + rows


def with_first(place: int, value: Any) -> Change:
    """Change one column of the first row: to ``value``, or by it where that is a function."""

    def change(rows: list[list[Any]]) -> list[list[Any]]:
        for row in rows[:1]:
            row[place] = value(row[place]) if callable(value) else value
        return rows

    return change


def with_small_group(place: int, value: Any) -> Change:
    """Change one column of a group with few visitors, who are counted exactly."""

    def change(rows: list[list[Any]]) -> list[list[Any]]:
        row = next(row for row in rows if 0 < row[-1] <= 4)
        row[place] = value(row[place]) if callable(value) else value
        return rows

    return change


def add(amount: int) -> Callable[[Any], int]:
    return lambda number: int(number) + amount


def overlapping(rows: list[list[Any]]) -> list[list[Any]]:
    """Let a flush begin one offset earlier than the one before it ended."""
    later = next(row for row in rows if row[1] > 0)
    later[1] -= 1
    return rows


def with_row(row: Row) -> Change:
    return lambda rows: [*rows, list(row)]


FLUSHES = "kind = 'flush'"
LEDGER = {f"ledger: {name}" for name in ("received", "journaled", "duplicates", "rejects")}
GROUPS, BY_GROUP = "rollup: groups", "rollup: unique visitors by group"
TAMPERED = {
    "an event is missing": Tampering(
        "kind = 'lead' AND _source", without_first, {"journal: lead rows", "acknowledged events kept"}
    ),
    "an event is there twice": Tampering(
        "kind = 'click' AND _source", doubled_first, {"journal: click rows"}
    ),
    "an event has another source's offset": Tampering(
        "kind = 'impression' AND _source", with_first(0, 10**9), {"journal: impression rows"}
    ),
    "a column differs": Tampering(
        "kind = 'conversion' AND _source", with_first(5, "other"), {"journal: conversion rows"}
    ),
    "a request differs": Tampering(
        "kind = 'request' AND _source", with_first(4, add(1)), {"journal: request rows"}
    ),
    "a reject lost its bytes": Tampering(
        "kind = 'reject' AND _source", with_first(4, "00ff"), {"journal: reject rows"}
    ),
    "a forward row is missing": Tampering(
        "kind = 'forward' AND _source", without_first, {"journal: forward rows"}
    ),
    "rows of an unknown source": Tampering(
        "toString(kind), count()",
        with_row([f"{CLUSTER}/clicks/99", "click", 1]),
        {"journal: rows of no record"},
    ),
    "clicks in the topic of leads": Tampering(
        "toString(kind), count()",
        with_row([f"{CLUSTER}/leads/0", "click", 1]),
        {"journal: rows of no record"},
    ),
    "a flush row overlaps": Tampering(
        FLUSHES,
        overlapping,
        {"ledger: gaps and overlaps", "ledger: flush rows"},
    ),
    "a flush row does not add up": Tampering(
        FLUSHES, with_first(5, add(1)), {"ledger: duplicates", "ledger: flush rows"}
    ),
    "a transaction is counted twice": Tampering(
        "kind = 'count'", with_first(-1, 2), {"transactions counted"}
    ),
    "a transaction has another value": Tampering(
        "kind = 'count'", with_first(4, add(1)), {"transactions counted"}
    ),
    "a credit was not taken back": Tampering(
        "kind = 'credit'",
        lambda rows: [[*row[:5], f"another {row[5]}", *row[6:]] for row in rows[:1]] + rows,
        {"credits in force"},
    ),
    "a micro of credit is missing": Tampering(
        "kind = 'credit'", with_first(8, add(-1)), {"credits in force"}
    ),
    "the rollup lags": Tampering(
        "max(_fence) FROM", lambda rows: [[row[0], 0] for row in rows], {"rollup: sources derived to the end"}
    ),
    "a group counts too much": Tampering(
        "AS sum_impressions", with_first(11, add(1)), {GROUPS, "rollup: impressions"}
    ),
    "credit on the wrong campaign": Tampering(
        "AS sum_impressions", with_small_group(1, "other"), {GROUPS, BY_GROUP}
    ),
    "a group has too many visitors": Tampering(
        "AS sum_impressions", with_small_group(-1, add(3)), {BY_GROUP}
    ),
    "the hour rollup lags": Tampering(
        "max(_fence) FROM rollup_hour WHERE source",
        lambda rows: [[row[0], 0] for row in rows],
        {"hour rollup: sources derived to the end"},
    ),
    "a group of hours counts too much": Tampering(
        "visitors) FROM rollup_hour", with_first(11, add(1)), {"hour rollup: groups"}
    ),
    "a group of days has another campaign": Tampering(
        "visitors) FROM rollup_day",
        with_small_group(1, "other"),
        {"day rollup: groups", "day rollup: unique visitors by group"},
    ),
    "groups of days have too many visitors": Tampering(
        "visitors) FROM rollup_day",
        lambda rows: [[*row[:-1], row[-1] + 3 * (0 < row[-1] <= 4)] for row in rows],
        {"day rollup: unique visitors by group"},
    ),
    "a reversal too many": Tampering(
        "sum(flagged) FROM rollup_status", with_first(13, add(1)), {"status rollup: groups"}
    ),
    "the status rollup lags": Tampering(
        "max(_fence) FROM rollup_status WHERE source",
        lambda rows: [[row[0], 0] for row in rows],
        {"status rollup: sources derived to the end"},
    ),
}


@pytest.mark.parametrize("tampering", TAMPERED.values(), ids=TAMPERED.keys())
def test_what_is_wrong_is_noticed(filled: Filled, tampering: Tampering) -> None:
    changed = 0

    def read(sql: str) -> Sequence[Row]:
        nonlocal changed
        rows = [list(row) for row in filled.read(sql)]
        if tampering.needle not in sql or changed or not rows:
            return rows
        changed += 1
        return tampering.change(rows)

    report = verify(filled.result, read, filled.acknowledged)
    assert changed == 1
    found = failing(report)
    assert found == tampering.noticed
    assert not report.ok
    assert all(check.differences for check in report.checks if check.name in found)


def test_an_acknowledged_event_that_is_nowhere(filled: Filled) -> None:
    lost = "00000000-0000-4000-8000-000000000000"
    report = verify(filled.result, filled.read, filled.acknowledged | {lost: "click"})
    assert failing(report) == {"acknowledged events kept"}
    assert f"click {lost}: not in the log" in report.checks[0].differences


def test_another_lookback_gives_other_credits(filled: Filled) -> None:
    models = tuple(replace(model, lookback=(("click", 60_000),)) for model in default_models())
    report = verify(
        compute(filled.log, Rules(models=models, person_limit=LIMIT)), filled.read, filled.acknowledged
    )
    assert {"credits in force", GROUPS} <= failing(report)


def test_a_shorter_window_gives_fewer_duplicates(filled: Filled) -> None:
    report = verify(
        compute(filled.log, Rules(dedup_window_ms=0, person_limit=LIMIT)), filled.read, filled.acknowledged
    )
    assert {"ledger: duplicates", "ledger: flush rows"} <= failing(report)


def test_the_table_names_what_differs(filled: Filled, tmp_path: Path) -> None:
    from rich.console import Console

    report = verify(filled.result, filled.read, {"00000000-0000-4000-8000-000000000000": "click"})
    with (tmp_path / "report").open("w+") as file:
        Console(file=file, width=160).print(render(report))
        file.seek(0)
        text = file.read()
    assert "DIFFERS" in text
    assert "click 00000000-0000-4000-8000-000000000000: not in the log" in text
