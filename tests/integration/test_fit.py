"""`funnel attribution fit` over a journal made by hand.

v1   c(x) ── c(y) ── sale 10      v2   c(x)      v3   c(y), long before      v4   c(x), a bot
"""

import datetime
from typing import Any

import pytest
from click.testing import CliRunner

from deploy import fit as module
from deploy.fit import Question, fit_command, read_paths
from deploy.fitting import Path
from schemas.ids import mint
from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import Journal
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

TOPICS = ("clicks", "credit-requests")
DAY = datetime.date(2025, 10, 9)
"""Of ``NOW``, UTC."""


@pytest.fixture
def journal(emptied: Connection) -> Connection:
    emptied.execute("TRUNCATE TABLE fitted_attribution")
    journal, make = Journal(emptied, "group"), Flushes(7)
    journal.take_ownership([source(topic) for topic in TOPICS], TOKEN)
    visitor = mint("abcd")
    plain: dict[str, Any] = {"bot": 0, "campaign": "x"}
    clicks = [
        make.touch(visitor=visitor, occurred_at=NOW - 3000, bot=0, campaign="x"),
        make.touch(visitor=visitor, occurred_at=NOW - 2000, bot=0, campaign="y"),
        make.touch(**plain),
        make.touch(**plain | {"campaign": "y", "occurred_at": NOW - 90_000_000}),
        make.touch(**plain | {"bot": 1}),
    ]
    rows = [*clicks, make.request("abcd", 1)]
    for click, value in zip(clicks[:2], (6, 4), strict=True):
        touch = {
            "touch_hi": click["event_hi"],
            "touch_lo": click["event_lo"],
            "touch_at": click["occurred_at"],
        }
        credit = make.credit(1, "linear", "abcd", value, model_version=1, touch_kind="click")
        rows.append(credit | touch | {"campaign": click["campaign"]})
    journal.insert(journal.pack(make.flush(rows)), "0", [source(topic) for topic in TOPICS], TOKEN)
    return emptied


def test_journeys_that_converted_and_those_that_did_not(journal: Connection) -> None:
    asked = Question("markov", "campaign", DAY, DAY, "EUR", "linear", 1)
    assert read_paths(journal, asked) == ([Path(("x",), 0, 1), Path(("x", "y"), 1, 0)], 10)
    assert read_paths(journal, asked._replace(currency="USD")) == ([Path(("x",), 0, 1)], 0)


@pytest.mark.parametrize(("model", "effects"), [("markov", [1.0, 1.0]), ("shapley", [0.5, 0.5])])
def test_the_command_adds_a_fit_to_the_table(
    journal: Connection, monkeypatch: pytest.MonkeyPatch, model: str, effects: list[float]
) -> None:
    """Without x nobody gets to the sale, without y neither: each is worth half."""
    monkeypatch.setattr("sinks.clickhouse.client.connect", lambda _: Unclosed(journal))
    monkeypatch.setattr(module, "clickhouse_settings", lambda _: None)
    days = ["--from", str(DAY), "--to", str(DAY)]
    run = CliRunner().invoke(fit_command, ["--model", model, "--by", "campaign", *days], obj={})
    assert (run.exit_code, run.output.count("50.00 %")) == (0, 2)
    sql = "SELECT name, effect, share, toInt64(value * 1e6), converted, unconverted FROM fitted_attribution_latest ORDER BY name"
    assert journal.query(sql) == [("x", effects[0], 0.5, 5, 1, 1), ("y", effects[1], 0.5, 5, 1, 1)]
    nothing = CliRunner().invoke(fit_command, [*days, "--currency", "USD"], obj={})
    assert (nothing.exit_code, "no journey with a known touch converted" in nothing.output) == (1, True)


class Unclosed:
    """The fixture's connection, which the command may not close."""

    def __init__(self, connection: Connection) -> None:
        self.query, self.insert_rows = connection.query, connection.insert_rows

    def close(self) -> None:
        pass
