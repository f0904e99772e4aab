"""The command line: `funnel`."""

import csv
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.table import Table

from deploy.access_command import access
from deploy.attribution_commands import attribution
from deploy.costs import costs
from deploy.embedded.ports import free_port
from deploy.explain_command import explain
from deploy.fit import fit_command
from deploy.offline_commands import rewind, rollup
from deploy.reject_commands import rejects
from deploy.running import Running, find_running
from deploy.settings import (
    SETTINGS,
    SettingsError,
    clickhouse_settings,
    collector_settings,
    read_settings,
    worker_settings,
)

CHATTY = {
    **dict.fromkeys(("faust", "aiokafka", "mode", "httpx", "abc"), logging.WARNING),
    # Logs every attempt to connect; what comes of them is said once, at the end.
    "kafka": logging.CRITICAL,
}
"""Libraries that log much, and from which level on they are heard without --verbose."""

log = logging.getLogger("funnel")
console = Console()
errors = Console(stderr=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="funnel")
@click.option("--verbose", is_flag=True, help="Log more.")
@click.option("--embedded", is_flag=True, help="Talk to what `funnel up` runs over FUNNEL_DATA_DIR.")
@click.pass_context
def funnel(context: click.Context, verbose: bool, embedded: bool) -> None:
    """Real-time tracking for affiliate marketing and lead generation.

    Every setting is a FUNNEL_* variable; `funnel settings` lists them.
    """
    logging.basicConfig(
        level=logging.DEBUG if verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for chatty, level in CHATTY.items():
        logging.getLogger(chatty).setLevel(logging.DEBUG if verbose else level)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = 120
    context.obj = read_settings(os.environ)
    if embedded:
        context.obj = read_settings({**os.environ, **_running(context.obj).variables})


def _running(values: dict[str, Any]) -> Running:
    found = find_running(Path(values["data_dir"]))
    if found is None:
        raise click.ClickException(f"`funnel up` does not run over {values['data_dir']}")
    return found


@funnel.command()
@click.pass_obj
def settings(values: dict[str, Any]) -> None:
    """List every setting: variable, type, default, value where it is another, meaning.

    A secret may be in a file instead, which the variable's name with _FILE behind it names.
    """
    table = Table("variable", "type", "default", "set to", "meaning", title="Settings")
    for setting in SETTINGS:
        value = values[setting.name]
        changed = value != setting.parse(setting.default)
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        set_to = "•••" if setting.secret else shown
        table.add_row(
            setting.variable, setting.kind, setting.default, set_to if changed else "", setting.meaning
        )
    console.print(table)


def _with_metrics(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with a port for /metrics, and say where that is: every process serves them."""
    port = values["metrics_port"] or free_port(values["metrics_host"])
    log.info("metrics: http://%s:%d/metrics", values["metrics_host"], port)
    return {**values, "metrics_port": port}


@funnel.command()
@click.pass_obj
def init(values: dict[str, Any]) -> None:
    """Create topics and tables. Safe to repeat."""
    from deploy.initialise import initialise

    for line in initialise(values):
        console.print(line)


@funnel.command()
@click.pass_obj
def collector(values: dict[str, Any]) -> None:
    """Run the HTTP front door until SIGTERM."""
    from collector.server import run

    run(collector_settings(_with_metrics(values)))


@funnel.command()
@click.pass_obj
def worker(values: dict[str, Any]) -> None:
    """Run a worker until SIGTERM."""
    from deploy.worker import run_worker

    sys.exit(run_worker(worker_settings(_with_metrics(values)), clickhouse_settings(values)))


@funnel.command()
@click.pass_obj
def dashboard(values: dict[str, Any]) -> None:
    """Serve the live page until SIGTERM."""
    from dashboard.server import run
    from deploy.settings import dashboard_settings
    from deploy.waiting import watched

    settings = dashboard_settings(_with_metrics(values))
    with watched(values["kafka"], settings.clickhouse) as waiting:
        run(settings, waiting)


@funnel.command()
@click.option("--once", is_flag=True, help="Probe once, say how long it took, and exit 1 if it failed.")
@click.pass_obj
def probe(values: dict[str, Any], once: bool) -> None:
    """Send a marked event through the front door every minute and look for it in ClickHouse, until SIGTERM."""
    from deploy.probe import ProbeFailed
    from deploy.probing import probe_on, probe_once

    if not once:
        return probe_on(_with_metrics(values))
    try:
        console.print(f"an event was in ClickHouse {probe_once(values):.1f} s after it was sent")
    except ProbeFailed as error:
        raise click.ClickException(str(error)) from None


@funnel.command()
@click.option("--events", default=0, help="Simulated events to send first.")
@click.option("--seed", default=1, help="Seed of the simulated events.")
@click.option("--verify", is_flag=True, help="Compare every final number with the oracle's.")
@click.pass_obj
def up(values: dict[str, Any], events: int, seed: int, verify: bool) -> None:
    """Start everything embedded on this machine: broker, ClickHouse, collector, worker.

    On a terminal it keeps running until Ctrl-C; without one it exits when the events are through, with 0 only if all is well.
    """
    from deploy.up import Exercise
    from deploy.up import up as run_up

    # Asked to end, it stops its children in order instead of leaving them to be killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    stay = sys.stdin.isatty() and sys.stdout.isatty()
    sys.exit(run_up(values, os.environ, console, Exercise(events, seed, verify), stay))


@funnel.command()
@click.option("--events", default=10_000, show_default=True, help="How many.")
@click.option("--seed", default=1, show_default=True, help="Same seed, same content.")
@click.option("--via", type=click.Choice(["collector", "kafka"]), default="collector", show_default=True)
@click.option(
    "--mess/--no-mess",
    default=True,
    show_default=True,
    help="Duplicates, conflicts, lateness, broken payloads.",
)
@click.option("--url", default="", help="The collector's URL; by default where this machine's settings say.")
@click.option(
    "--acknowledged", type=click.Path(path_type=Path), help="Append the acknowledged ids to this file."
)
@click.pass_obj
def simulate(
    values: dict[str, Any], events: int, seed: int, via: str, mess: bool, url: str, acknowledged: Path | None
) -> None:
    """Send simulated journeys through the collector or straight into Kafka."""
    from deploy.simulation import simulate as run_simulation

    if via == "kafka" and values["schema_registry_url"]:
        raise click.ClickException("--via kafka sends under the checked-in schema ids: use --via collector")
    run_simulation(
        values, console, events=events, seed=seed, via=via, mess=mess, url=url, acknowledged=acknowledged
    )


@funnel.command()
@click.option(
    "--acknowledged",
    type=click.Path(path_type=Path, exists=True),
    help="File of acknowledged ids to look for.",
)
@click.pass_obj
def verify(values: dict[str, Any], acknowledged: Path | None) -> None:
    """Compare ClickHouse with what the oracle computes from Kafka's log; exit 1 on any difference."""
    from deploy.verification import compare_now

    sys.exit(0 if compare_now(values, console, acknowledged).ok else 1)


@funnel.command()
@click.pass_obj
def audit(values: dict[str, Any]) -> None:
    """Count Kafka's log and the journal anew, source by source; name the first offset where they part, and exit 1 there."""
    from deploy.audit import audit as run_audit

    sys.exit(0 if run_audit(values, console) else 1)


@funnel.command()
@click.argument("sql")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table", show_default=True
)
@click.pass_obj
def query(values: dict[str, Any], sql: str, form: str) -> None:
    """Run SQL on ClickHouse and print the rows."""
    from sinks.clickhouse.client import connect

    connection = connect(clickhouse_settings(values))
    try:
        names, rows = connection.query_named(sql)
    finally:
        connection.close()
    if form == "json":
        for row in rows:
            click.echo(json.dumps(dict(zip(names, row, strict=True)), default=str))
    elif form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(names)
        writer.writerows(rows)
    else:
        table = Table(*names)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row))
        console.print(table)


@funnel.command()
@click.argument("urls", nargs=-1)
@click.option("--once", is_flag=True, help="Print once and exit.")
@click.pass_obj
def top(values: dict[str, Any], urls: tuple[str, ...], once: bool) -> None:
    """Watch counters, lag and latency live, read from /metrics of the processes (by default those of `funnel up`)."""
    from deploy.top import top as run_top

    run_top(console, urls or _running(values).metrics, once)


funnel.add_command(rejects)
funnel.add_command(rewind)
funnel.add_command(rollup)
funnel.add_command(explain)
funnel.add_command(costs)
attribution.add_command(fit_command)
funnel.add_command(attribution)
funnel.add_command(access)


BASE = click.option("--base", default="", help="The collector's address as the outside knows it.")


def _base(values: dict[str, Any], base: str) -> str:
    return base.rstrip("/") or f"http://{values['host']}:{values['port']}"


@funnel.command()
@click.argument("target")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@BASE
@click.option(
    "--days", type=click.IntRange(1, 36_500), help="After so many days the link leads nowhere any more."
)
@click.pass_obj
def link(
    values: dict[str, Any], target: str, parameters: tuple[str, ...], base: str, days: int | None
) -> None:
    """Print the tracking link to TARGET: a URL, which is signed, or a name from the links file."""
    from deploy.senders import link as link_to
    from deploy.senders import pairs

    expires = int(time.time()) + days * 86_400 if days else 0
    click.echo(link_to(collector_settings(values), _base(values, base), target, pairs(parameters), expires))


@funnel.group()
def postback() -> None:
    """Set up partners' postbacks and try them out."""


@postback.command("url")
@click.argument("partner")
@BASE
@click.pass_obj
def postback_url(values: dict[str, Any], partner: str, base: str) -> None:
    """Print the URL to hand to PARTNER."""
    from deploy.senders import partner_of, template

    click.echo(template(partner_of(collector_settings(values), partner), _base(values, base)))


@postback.command("test")
@click.argument("partner")
@click.argument("parameters", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--address", default="127.0.0.1", show_default=True, help="Where it would come from.")
@click.option("--token", is_flag=True, help="Prove it by token, not by signature.")
@click.option("--send", is_flag=True, help="Send it to the collector; without this nothing is sent.")
@BASE
@click.pass_obj
def postback_test(
    values: dict[str, Any],
    partner: str,
    parameters: tuple[str, ...],
    address: str,
    token: bool,
    send: bool,
    base: str,
) -> None:
    """Say what the collector makes of a postback of PARTNER with these parameters of its own; exit 1 where it refuses."""
    from deploy.senders import pairs, try_postback

    settings = collector_settings(values)
    good = try_postback(
        settings, partner, pairs(parameters), token, address, _base(values, base) if send else ""
    )
    sys.exit(0 if good else 1)


def main() -> NoReturn:
    """Entry point: known errors in one line, exit 2 for settings, 1 for the rest."""
    try:
        funnel(standalone_mode=False)
    except SettingsError as error:
        _fail(error, 2)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except _known_errors() as error:
        _fail(error, 1)
    sys.exit(0)


def _known_errors() -> tuple[type[Exception], ...]:
    """What can go wrong outside of this program; anything else is a fault of ours and shows where."""
    from httpx import HTTPError

    from collector.errors import SpoolError
    from deploy.embedded.supervise import ChildFailed
    from deploy.offline import OfflineError
    from schemas.remote import RegistryError
    from simulator.kafka import KafkaFailed
    from simulator.send import NotAcknowledged
    from sinks.clickhouse.errors import ClickHouseError, MigrationError, ModelChanged
    from streams.broker import HopError, KafkaAway, TopicsError

    return (
        HTTPError,
        RegistryError,
        ChildFailed,
        KafkaFailed,
        NotAcknowledged,
        ClickHouseError,
        MigrationError,
        ModelChanged,
        KafkaAway,
        TopicsError,
        HopError,
        SpoolError,
        OfflineError,
    )


def _fail(error: Exception, status: int) -> NoReturn:
    errors.print("[red]funnel:[/] ", end="")
    errors.print(str(error), markup=False, highlight=False, soft_wrap=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
