"""Advertising costs: what `funnel costs import` reads, and the command."""

import csv
import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import click

from deploy.settings import clickhouse_settings

COLUMNS = ("day", "campaign", "currency", "amount")
_AMOUNT = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
MOST_CHARACTERS = 200
"""Of a campaign, as the collector has it."""


class Cost(NamedTuple):
    """What a campaign cost on a day (UTC), in micros of its currency."""

    day: datetime.date
    campaign: str
    currency: str
    amount: int


class CostError(click.ClickException):
    """A line of the file cannot be taken, so nothing of it is."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line


def read_costs(lines: Iterable[str]) -> list[Cost]:
    """Return the costs of a CSV file, whose first line names the columns in any order. Raises CostError."""
    reader = csv.reader(lines, strict=True)
    try:
        return list(_costs(reader))
    except csv.Error as error:
        raise CostError(reader.line_num, f"is no CSV: {error}") from None


def _costs(reader: Any) -> Iterator[Cost]:
    names = [name.strip().lower() for name in next(reader, [])]
    if sorted(names) != sorted(COLUMNS):
        raise CostError(1, f"must name the columns {', '.join(COLUMNS)}")
    places: dict[tuple[Any, ...], int] = {}
    for row in reader:
        if not row:
            continue
        if len(row) != len(names):
            raise CostError(reader.line_num, f"has {len(row)} fields, not {len(names)}")
        cost = _cost(reader.line_num, dict(zip(names, row, strict=True)))
        if (first := places.setdefault(cost[:3], reader.line_num)) != reader.line_num:
            raise CostError(reader.line_num, f"repeats day, campaign and currency of line {first}")
        yield cost


def _cost(line: int, fields: Mapping[str, str]) -> Cost:
    values = {name: value.strip() for name, value in fields.items()}
    try:
        day = datetime.date.fromisoformat(values["day"])
    except ValueError:
        raise CostError(line, f"day {values['day']!r} is no date such as 2026-01-31") from None
    if not 1971 <= day.year <= 2148:
        raise CostError(line, f"day {values['day']!r} must be from 1971 to 2148")
    campaign = values["campaign"]
    if len(campaign) > MOST_CHARACTERS:
        raise CostError(line, f"campaign has more than {MOST_CHARACTERS} characters")
    if not _CURRENCY.fullmatch(values["currency"]):
        raise CostError(line, f"currency {values['currency']!r} is no ISO 4217 code such as EUR")
    if not _AMOUNT.fullmatch(values["amount"]):
        raise CostError(line, f"amount {values['amount']!r} is no number such as 1234.56, 0 or more")
    return Cost(day, campaign, values["currency"], int(Decimal(values["amount"]) * 1_000_000))


@click.group()
def costs() -> None:
    """Advertising costs, so that cost per click, acquisition cost and return are real."""


@costs.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def import_costs(values: Mapping[str, Any], file: Path) -> None:
    """Take costs from FILE: CSV with the columns day, campaign, currency, amount.

    What the file says of a day, campaign and currency replaces what was said before; 0 takes it back. The rest stays.
    """
    from sinks.clickhouse.client import connect

    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            read = read_costs(lines)
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file}: is not UTF-8: {error.reason}") from None
    connection = connect(clickhouse_settings(values))
    try:
        if read:
            connection.insert_rows("costs", COLUMNS, read)
    finally:
        connection.close()
    click.echo(f"{len(read)} costs imported")
