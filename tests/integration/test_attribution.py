"""The register of models, and the ledger of credits as it was known."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.attribution import default_models
from schemas.ids import mint
from sinks.clickhouse.attribution import register_models
from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import ModelChanged
from sinks.clickhouse.journal import Journal
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

SOURCES = [source(topic) for topic in ("conversions", "credit-requests")]


def test_a_registered_version_cannot_say_something_else(emptied: Connection) -> None:
    emptied.execute("TRUNCATE TABLE attribution_models")
    models = default_models()
    for _ in range(2):
        register_models(emptied, models)
    count = (
        "SELECT count(), uniqExact(model, model_version), countIf(purpose = 'payout') FROM attribution_models"
    )
    assert emptied.query(count) == [(len(models), len(models), 1)]
    changed = replace(models[0], lookback=(("click", 1),))
    with pytest.raises(ModelChanged, match="attribution model last_click: version 2 ") as raised:
        register_models(emptied, (replace(models[1], version=9), changed))
    assert (raised.value.model, raised.value.version) == ("last_click", 2)
    assert emptied.query(count)[0][0] == len(models), "nothing was written"
    register_models(emptied, (replace(changed, version=3), *models))
    assert emptied.query(count)[0][0] == len(models) + 1


def test_credits_as_they_were_known(emptied: Connection) -> None:
    """
    known at   0            1000                    2000
               request      late touch              reversal
    ledger     +5 (a)       −5 (a)  +7 (a)          −7 (a)
    """
    journal, flushes, route = Journal(emptied, "group"), Flushes(3), mint()[:4]
    journal.take_ownership(SOURCES, TOKEN)
    register_models(emptied, default_models())
    paid = ([(5,)], [(7,)], [])
    steps = ([(1, 5)], [(-1, 5), (1, 7)], [(-1, 7)])
    for place, step in enumerate(steps):
        credits = [flushes.credit(sign, "payout", route, value, model_version=2) for sign, value in step]
        rows = flushes.flush([flushes.request(route, place + 1), *credits], ingested=NOW + 1000 * place)
        journal.insert(journal.pack(rows), str(place), SOURCES, TOKEN)
        assert emptied.query("SELECT value FROM payouts") == paid[place]
    for after, expected in ((-1, []), (0, [(5,)]), (999, [(5,)]), (1000, [(7,)]), (2000, [])):
        at = datetime.fromtimestamp((NOW + after) / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        assert emptied.query(f"SELECT value FROM credits_as_of(known_at = '{at}')") == expected, after
    ledger = "SELECT count(), sum(signed_value), sum(sign) FROM credit_ledger WHERE model_version = 2"
    assert emptied.query(ledger) == [(4, 0, 0)]


@pytest.mark.parametrize("view", ["credits", "payouts", "credit_ledger", "credits_as_of", "attribution_day"])
def test_views_say_what_they_hold(emptied: Connection, view: str) -> None:
    sql = f"SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = '{view}'"
    assert emptied.query(sql)[0][0].endswith(".")
