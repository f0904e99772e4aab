"""`funnel access`: who else may look at a real ClickHouse server."""

import secrets
import sys
from collections.abc import Iterable
from typing import Any

import click

from deploy.settings import clickhouse_settings
from sinks.clickhouse.access import DIMENSIONS, Account, partner, reader, remove
from sinks.clickhouse.client import connect
from sinks.clickhouse.settings import ClickHouseSettings

APPLY = click.option("--apply", is_flag=True, help="Run the statements instead of printing them.")


@click.group()
def access() -> None:
    """Make users of a ClickHouse server who may only look. Prints SQL, which may be run again.

    The user's password is asked for, or read from the input where that is no terminal.
    """


@access.command("reader")
@click.argument("name")
@APPLY
@click.pass_obj
def reader_command(values: dict[str, Any], name: str, apply: bool) -> None:
    """A user who may look at everything, within limits: for the live page and BI tools."""
    settings = clickhouse_settings(values)
    _done(settings, reader(settings, _account(name)), apply)


@access.command("partner")
@click.argument("name")
@click.option("--by", type=click.Choice(DIMENSIONS), default="affiliate", show_default=True)
@click.option(
    "--value", "wanted", multiple=True, help="Whose rows; several times for several. Default: NAME."
)
@APPLY
@click.pass_obj
def partner_command(values: dict[str, Any], name: str, by: str, wanted: tuple[str, ...], apply: bool) -> None:
    """A user who sees the reports' rows of an affiliate, or of an advertiser's offers or campaigns, and no others."""
    settings = clickhouse_settings(values)
    account = _account(name)
    try:
        statements = list(partner(settings, account, by, wanted or (name,)))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    _done(settings, statements, apply)


@access.command("remove")
@click.argument("name")
@APPLY
@click.pass_obj
def remove_command(values: dict[str, Any], name: str, apply: bool) -> None:
    """Take a reader or partner away."""
    settings = clickhouse_settings(values)
    try:
        statements = list(remove(settings, name))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    _done(settings, statements, apply)


def _account(name: str) -> Account:
    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().removesuffix("\n")
    try:
        return Account(name, password, secrets.token_hex(16))
    except ValueError as error:
        raise click.ClickException(str(error)) from None


def _done(settings: ClickHouseSettings, statements: Iterable[str], apply: bool) -> None:
    if not apply:
        for statement in statements:
            click.echo(f"{statement};")
        return
    connection = connect(settings)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()
