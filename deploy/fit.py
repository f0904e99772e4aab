"""`funnel attribution fit`: journeys out of the journal, a model over them, and its results into a table."""

import datetime
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from deploy.fitting import WHOLE, FitError, Path, divided, removal_effects, shapley_values
from deploy.settings import clickhouse_settings
from sinks.clickhouse.client import Connection
from sinks.clickhouse.versions import version_in_force

MODELS = ("markov", "shapley")
DIMENSIONS = ("channel", "campaign", "affiliate")
TABLE = "fitted_attribution"
_COLUMNS = (
    *(
        "fitted_at",
        "model",
        "dimension",
        "name",
        "first_day",
        "last_day",
        "currency",
        "converted",
        "unconverted",
    ),
    *("effect", "weight", "value"),
)
_CREDITED = "model = %(journeys)s AND model_version = %(version)s AND touch_kind != ''"
_WITHIN = "occurred_at >= toDateTime64(%(start)s, 3, 'UTC') AND occurred_at < toDateTime64(%(end)s, 3, 'UTC')"
_PATH = "arrayMap(one -> one.3, arraySort(groupArray(({at}, {event}, toString({by}))))) AS path"


class Question(NamedTuple):
    """What is fitted: days (UTC, both included), one currency, and the model whose touches make the journeys."""

    model: str
    by: str
    first_day: datetime.date
    last_day: datetime.date
    currency: str
    journeys: str
    version: int


class Fitted(NamedTuple):
    """What a name is worth: the removal effect or Shapley value, its share (parts of 10^9) and value (micros)."""

    name: str
    effect: float
    weight: int
    value: int


def read_paths(connection: Connection, asked: Question) -> tuple[list[Path], int]:
    """Return the journeys by path, and the recognised value (micros) of those that converted."""
    paths: dict[tuple[str, ...], list[int]] = {}
    value = 0
    for names, count, earned in connection.query(_converted(asked.by), _parameters(asked)):
        paths.setdefault(tuple(names), [0, 0])[0] += count
        value += earned
    for names, count in connection.query(_unconverted(asked.by), _parameters(asked)):
        paths.setdefault(tuple(names), [0, 0])[1] += count
    return [Path(names, *counts) for names, counts in sorted(paths.items())], value


def _converted(by: str) -> str:
    path = _PATH.format(at="touch_at", event="touch_id", by=by)
    return (
        f"SELECT path, count(), sum(earned) FROM (SELECT {path}, sum(assumeNotNull(value)) AS earned FROM credits_all_versions "
        f"WHERE {_CREDITED} AND status IN ('pending', 'approved') AND currency = %(currency)s AND {_WITHIN} "
        "GROUP BY partner, transaction_id) GROUP BY path"
    )


def _unconverted(by: str) -> str:
    """Journeys of clicks that no conversion has been credited to, in any currency."""
    path = _PATH.format(at="occurred_at", event="event_id", by=by)
    return (
        f"SELECT path, count() FROM (SELECT {path} FROM journal WHERE kind = 'click' AND bot = 0 AND {_WITHIN} "
        f"AND event_id NOT IN (SELECT touch_id FROM credits_all_versions WHERE {_CREDITED}) GROUP BY visitor_id) GROUP BY path"
    )


def _parameters(asked: Question) -> dict[str, Any]:
    end = asked.last_day + datetime.timedelta(days=1)
    return {
        "start": f"{asked.first_day} 00:00:00",
        "end": f"{end} 00:00:00",
        "currency": asked.currency,
        "journeys": asked.journeys,
        "version": asked.version,
    }


def fit(paths: list[Path], value: int, model: str) -> list[Fitted]:
    """Return what each name is worth under ``model``, most first. Weights add up to 10^9 and values to ``value``. Raises FitError."""
    effects = removal_effects(paths) if model == "markov" else shapley_values(paths)
    weights, values = divided(WHOLE, effects), divided(value, effects)
    found = [Fitted(name, float(effect), weights[name], values[name]) for name, effect in effects.items()]
    return sorted(found, key=lambda one: (-one.weight, one.name))


def store(
    connection: Connection, asked: Question, paths: list[Path], found: list[Fitted], now: datetime.datetime
) -> None:
    """Add the results; those of former fits stay."""
    converted, unconverted = sum(path.converted for path in paths), sum(path.unconverted for path in paths)
    about = (asked.first_day, asked.last_day, asked.currency, converted, unconverted)
    rows = [
        (now, asked.model, asked.by, one.name, *about, one.effect, one.weight, one.value) for one in found
    ]
    connection.insert_rows(TABLE, _COLUMNS, rows)


@click.command("fit")
@click.option("--model", type=click.Choice(MODELS), default="markov", show_default=True)
@click.option("--by", type=click.Choice(DIMENSIONS), default="channel", show_default=True)
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), required=True, help="First day, UTC.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Last day, UTC.")
@click.option("--currency", default="EUR", show_default=True, help="Conversions in this currency count.")
@click.option(
    "--journeys", default="linear", show_default=True, help="Model whose touches make the journeys."
)
@click.option("--journeys-version", "version", type=int, help="Its version; by default the one in force.")
@click.pass_obj
def fit_command(
    values: Mapping[str, Any],
    /,
    first: datetime.datetime,
    last: datetime.datetime,
    version: int | None,
    **given: Any,
) -> None:
    """Learn from the journeys of some days what channels, campaigns or affiliates are worth; results go into fitted_attribution."""
    from sinks.clickhouse.client import connect

    if last < first:
        raise click.BadParameter("is before --from", param_hint="--to")
    connection = connect(clickhouse_settings(values))
    try:
        version = version or version_in_force(connection, given["journeys"])
        asked = Question(first_day=first.date(), last_day=last.date(), version=version, **given)
        paths, value = read_paths(connection, asked)
        found = fit(paths, value, asked.model)
        store(connection, asked, paths, found, datetime.datetime.now(datetime.UTC))
    except FitError as error:
        raise click.ClickException(str(error)) from None
    finally:
        connection.close()
    for one in found:
        click.echo(
            f"{one.weight / 1e7:6.2f} %  {one.value / 1e6:,.6f} {asked.currency}  {one.name or '(none)'}"
        )
