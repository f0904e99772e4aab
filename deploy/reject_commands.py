"""The command line of rejects: `funnel rejects`."""

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from deploy.settings import clickhouse_settings

REASON = click.option(
    "--reason", default="", help="Only rejects with this reason (docs/rules.md, section 2)."
)
TOPIC = click.option("--topic", default="", help="Only rejects from this topic.")
PLACES = click.argument("places", nargs=-1, metavar="[[CLUSTER/]TOPIC/PARTITION/OFFSET]...")


@click.group()
def rejects() -> None:
    """Look at events that could not be processed, and send them again after a fix."""


@rejects.command("list")
@REASON
@TOPIC
@click.option("--limit", default=50, show_default=True, help="How many of the newest to list.")
@click.pass_obj
def list_rejects(values: Mapping[str, Any], reason: str, topic: str, limit: int) -> None:
    """Count rejects by topic and reason, and list the newest."""
    from deploy.rejects import condition, read, when
    from sinks.clickhouse.client import connect

    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 160)
    where = condition(reason, topic, ())
    connection = connect(clickhouse_settings(values))
    try:
        counts = connection.query(
            "SELECT splitByChar('/', source)[-2] AS topic, reason, count(), min(record_time), max(record_time) "
            f"FROM rejects WHERE {where} GROUP BY topic, reason ORDER BY 3 DESC, 1, 2"
        )
        newest = read(connection, where, order="record_time DESC, source, offset DESC", limit=limit)
    finally:
        connection.close()
    if not counts:
        return console.print("no rejects")
    summary = Table("topic", "reason", "rejects", "first", "last", title="Rejects")
    for one, why, count, first, last in counts:
        summary.add_row(
            str(one), str(why), f"{count:,}", f"{first:%Y-%m-%d %H:%M:%S}", f"{last:%Y-%m-%d %H:%M:%S}"
        )
    console.print(summary)
    table = Table(
        "place", "record time (UTC)", "reason", "detail", "event id", title=f"The newest {len(newest)}"
    )
    for reject in newest:
        table.add_row(reject.place, when(reject.time)[:-6], reject.reason, reject.detail, reject.event_id)
    console.print(table)


@rejects.command("show")
@PLACES
@click.pass_obj
def show_rejects(values: Mapping[str, Any], places: tuple[str, ...]) -> None:
    """Show the rejects at these places, with their content; exit 1 where there is none."""
    from deploy.rejects import condition, describe, read
    from sinks.clickhouse.client import connect

    if not places:
        raise click.UsageError("name a place, as `funnel rejects list` prints it")
    connection = connect(clickhouse_settings(values))
    try:
        found = read(connection, condition("", "", places))
    finally:
        connection.close()
    if not found:
        raise click.ClickException(f"no reject at {', '.join(places)}")
    click.echo("\n\n".join(map(describe, found)))


@rejects.command("replay")
@PLACES
@REASON
@TOPIC
@click.option("--all", "everything", is_flag=True, help="All rejects but conflicts.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.pass_obj
def replay_rejects(
    values: Mapping[str, Any],
    places: tuple[str, ...],
    reason: str,
    topic: str,
    everything: bool,
    dry_run: bool,
) -> None:
    """Send rejects to their topics again, with their keys, event ids and record times: nothing is counted twice.

    Conflicts are not sent, nor what has been accepted since.
    """
    from deploy.rejects import condition, replay
    from schemas.topics import TOPICS
    from sinks.clickhouse.client import connect
    from streams.broker import describe_cluster

    if not (places or reason or topic or everything):
        raise click.UsageError("say which: places, --reason, --topic, or --all")
    where = condition(reason, topic, places)
    connection = connect(clickhouse_settings(values))
    try:
        describe_cluster(values["kafka"], TOPICS)
        done = replay(connection, values["kafka"], where, dry_run)
    finally:
        connection.close()
    click.echo(
        f"{'would send' if dry_run else 'sent'} {done.sent}; "
        f"left {done.accepted_since} that were accepted since, {done.repeated} of the same content"
    )
