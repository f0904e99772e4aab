"""The command line of what is done while no worker runs: `funnel rewind` and `funnel rollup`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from deploy.settings import clickhouse_settings

ACCEPT_LOSS = click.option(
    "--accept-loss",
    is_flag=True,
    help="Also where the journal has let rows go that the present rollups know.",
)


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


@click.command()
@click.option(
    "--to",
    required=True,
    metavar="TIME|TOPIC/PARTITION/OFFSET",
    help="What is as new as this, or newer, goes.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would go; workers may be running.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@ACCEPT_LOSS
@click.pass_obj
def rewind(values: Mapping[str, Any], to: str, dry_run: bool, yes: bool, accept_loss: bool) -> None:
    """Take the journal back to a time (record time) or a record, so that workers process again what Kafka has since then.

    Whole flushes go, so it may be a little more than that. Stop all workers first. Interrupted, it is finished by the same command.
    """
    from deploy.progress import bar
    from deploy.rewind import Plan, Rewind, total
    from sinks.clickhouse.client import connect
    from streams.broker import group_members

    console = _console()
    connection = connect(clickhouse_settings(values))
    try:
        one = Rewind(values, connection, group_members, datetime.now(UTC))
        plan: Plan = one.plan(to, accept_loss)
        _show(console, plan)
        if not plan.firsts and not one.is_interrupted:
            return console.print("nothing is as new as that")
        if dry_run:
            return console.print(f"would remove {total(plan):,} rows and rebuild the rollups")
        if not yes:
            click.confirm(f"Remove {total(plan):,} rows?", abort=True)
        one.stop_workers()
        # Again, now that nobody writes.
        plan = one.plan(to, accept_loss)
        with bar(console) as progress:
            removing = progress.add_task("removing, parts left", total=None)
            one.remove(plan, lambda parts: progress.update(removing, completed=parts))
            tasks = {}

            def step(name: str, rows: int) -> None:
                if name not in tasks:
                    tasks[name] = progress.add_task(f"rebuilding {name}", total=None)
                progress.advance(tasks[name], rows)

            one.rebuild(step)
        console.print(f"removed {total(plan):,} rows; workers go on at the cut")
    finally:
        connection.close()


def _show(console: Console, plan: Any) -> None:
    from deploy.rewind import rows_in_words

    table = Table("source", "log from", "fence now", "fence then", "rows that go", title="Rewind")
    for cut in plan.cuts:
        kept = str(cut.kept) if cut.kept >= 0 else "none"
        table.add_row(cut.source, str(plan.starts[cut.source]), str(cut.fence), kept, rows_in_words(cut.rows))
    console.print(table)


@click.group()
def rollup() -> None:
    """Look at the rollups, fill one over an existing journal, or make one anew."""


NAME = click.argument("name")


@rollup.command("list")
@click.pass_obj
def list_rollups(values: Mapping[str, Any]) -> None:
    """List the rollups: rows, sources, and how many journaled records are not derived yet."""
    from deploy.rollups import states
    from sinks.clickhouse.client import connect

    connection = connect(clickhouse_settings(values))
    try:
        found = states(connection)
    finally:
        connection.close()
    table = Table("rollup", "table", "rows", "sources", "records waiting", title="Rollups")
    for one in found:
        rows = f"{one.rows:,}" if one.exists else "no table: `funnel rollup create`"
        table.add_row(one.name, one.table, rows, str(one.sources), f"{one.waiting:,}")
    _console().print(table)


@rollup.command("create")
@NAME
@click.pass_obj
def create_rollup(values: Mapping[str, Any], name: str) -> None:
    """Make the table of rollup NAME if there is none, and derive all that it lacks. Stop all workers first; safe to repeat."""
    from deploy.rollups import create_now

    _fill(values, name, create_now, "derived")


@rollup.command("rebuild")
@NAME
@ACCEPT_LOSS
@click.pass_obj
def rebuild_rollup(values: Mapping[str, Any], name: str, accept_loss: bool) -> None:
    """Derive rollup NAME anew from the whole journal beside the present one, then put it in its place. Stop all workers first."""
    from functools import partial

    from deploy.rollups import rebuild_now

    _fill(values, name, partial(rebuild_now, accept_loss=accept_loss), "rebuilt from")


def _fill(values: Mapping[str, Any], name: str, fill: Any, done: str) -> None:
    from deploy.offline import refuse_live_workers
    from deploy.progress import bar
    from deploy.rollups import named, to_derive
    from sinks.clickhouse.client import connect
    from sinks.clickhouse.journal import Journal
    from streams.broker import group_members

    chosen = named(name)
    console = _console()
    refuse_live_workers(values, group_members)
    connection = connect(clickhouse_settings(values))
    try:
        with bar(console) as progress:
            task = progress.add_task(f"deriving {name}", total=to_derive(connection))
            records = fill(
                Journal(connection, values["group"]), chosen, lambda rows: progress.advance(task, rows)
            )
            progress.update(task, total=records, completed=records)
    finally:
        connection.close()
    console.print(f"{name}: {done} {records:,} records")
