"""The command line of attribution models: `funnel attribution`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from deploy.settings import attribution_models, clickhouse_settings


@click.group()
def attribution() -> None:
    """Versions of attribution models, applying a new one to what was journaled before it, and models learned from the journal."""


@attribution.command("list")
@click.pass_obj
def list_versions(values: Mapping[str, Any]) -> None:
    """List the registered versions: which one readers see, whether the models file has it, its credits and dates."""
    from deploy.attribution import versions
    from sinks.clickhouse.client import connect

    connection = connect(clickhouse_settings(values))
    try:
        found = versions(connection, attribution_models(values))
    finally:
        connection.close()
    heads = ("model", "version", "purpose", "in force", "in the file", "credits", "ledger rows", "registered")
    table = Table(*heads, "applied", title="Attribution models")
    for one in found:
        table.add_row(
            *(one.model, str(one.version), one.purpose, _yes(one.in_force), _yes(one.in_file)),
            *(f"{one.standing:,}", f"{one.rows:,}", _moment(one.registered_at), _moment(one.applied_at)),
        )
    _console().print(table)


@attribution.command("apply")
@click.argument("model")
@click.option("--version", type=int, help="By default the highest that the models file has.")
@click.option("--dry-run", is_flag=True, help="Only say what would be written; workers may be running.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Also where the journal has let impressions go that the model looks at.",
)
@click.pass_obj
def apply(
    values: Mapping[str, Any], model: str, version: int | None, dry_run: bool, accept_loss: bool
) -> None:
    """Credit every journaled conversion under a version of MODEL, and let readers see that version.

    Stop all workers first. What the version has credited already stays; interrupted, it is finished by the same command.
    """
    from deploy.attribution import Application, apply_version, chosen
    from deploy.progress import bar
    from sinks.clickhouse.client import connect
    from streams.broker import group_members

    wanted = chosen(attribution_models(values), model, version)
    console = _console()
    connection = connect(clickhouse_settings(values))
    try:
        one = Application(values, connection, wanted)
        one.check(accept_loss)
        if not dry_run:
            one.stop_workers(group_members)
        with bar(console) as progress:
            tasks: dict[str, Any] = {}

            def step(what: str, steps: int) -> None:
                if what not in tasks:
                    tasks[what] = progress.add_task(what, total=steps)
                progress.advance(tasks[what])

            done = apply_version(one, dry_run, step)
    finally:
        connection.close()
    named = f"{wanted.name} {wanted.version}"
    if dry_run:
        console.print(f"{named}: would issue {done.issued:,} credits and take {done.taken_back:,} back")
    else:
        console.print(
            f"{named}: issued {done.issued:,} credits, took {done.taken_back:,} back; readers see it now"
        )


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    return console


def _yes(true: bool) -> str:
    return "yes" if true else ""


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"
