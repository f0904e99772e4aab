"""Two versions of one model divide the same conversions: readers see the one in force, and never the sum.

             version 1 registered    version 2 registered    2 applied      1 applied again
late fact                            under both
readers see  1                       1 (2 lacks the rest)    2              1
"""

from collections.abc import Iterator

import pytest

from dashboard.filters import parse
from dashboard.queries import Query, models, partners, series, tops
from schemas.attribution import Model
from schemas.ids import mint
from sinks.clickhouse.attribution import register_models
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rollup import derive
from sinks.clickhouse.versions import put_in_force, version_in_force
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

SOURCES = [source(topic) for topic in ("conversions", "credit-requests")]
VIEWS = {
    "credits": "SELECT sum(value) FROM credits WHERE model = 'last_click'",
    "payouts": "SELECT sum(value) FROM payouts",
    "attribution_minute": "SELECT sum(revenue) FROM attribution_minute WHERE model = 'last_click'",
    "attribution_hour": "SELECT sum(revenue) FROM attribution_hour WHERE model = 'last_click'",
    "attribution_day": "SELECT sum(revenue) FROM attribution_day WHERE model = 'last_click'",
    "attribution": "SELECT toInt64(sum(revenue) * 1000000) FROM attribution WHERE model = 'last_click'",
    "campaigns": "SELECT toInt64(sum(revenue) * 1000000) FROM campaigns",
    "affiliates": "SELECT toInt64(sum(revenue) * 1000000) FROM affiliates",
    "offers": "SELECT toInt64(sum(revenue) * 1000000) FROM offers",
    "cohorts": "SELECT toInt64(sum(revenue) * 1000000) FROM cohorts",
    "time_to_convert": "SELECT sum(conversions) * 100 FROM time_to_convert",
}


@pytest.fixture
def journal(emptied: Connection) -> Iterator[Journal]:
    emptied.execute("TRUNCATE TABLE attribution_models")
    yield Journal(emptied, "group")
    emptied.execute("TRUNCATE TABLE attribution_models")


def last_click(version: int) -> Model:
    return Model("last_click", version, "last", (("click", 1000 * version),), "payout")


def page(connection: Connection, query: Query) -> list[tuple[object, ...]]:
    return connection.query(query.sql, dict(query.parameters))


def test_versions_do_not_add_up(journal: Journal) -> None:
    """One conversion of 100, credited under version 1, and by a late fact under version 2 too."""
    connection, flushes, route = journal.connection, Flushes(3), mint()[:4]
    journal.take_ownership(SOURCES, TOKEN)
    register_models(connection, (last_click(1), last_click(2)))
    own = {"occurred_at": NOW, "status": "approved", "currency": "EUR", "channel": "email"}
    credits = [
        flushes.credit(1, "last_click", route, 100 + version, model_version=version) | own
        for version in (1, 2)
    ]
    rows = flushes.flush([flushes.request(route, 1), *credits])
    journal.insert(journal.pack(rows), "1", SOURCES, TOKEN)
    for rollup in ROLLUPS:
        derive(journal, rollup, SOURCES, TOKEN)
    day = str(connection.query(f"SELECT toDate(fromUnixTimestamp64Milli({NOW}, 'UTC'))")[0][0])
    filters = parse(
        {"from": day, "to": day, "currency": "EUR", "campaign": "campaign1", "metric": "revenue"}, NOW // 1000
    )
    for applied, expected in ((0, 101), (2, 102), (1, 101)):
        if applied:
            put_in_force(connection, "last_click", applied)
        assert version_in_force(connection, "last_click") == expected - 100
        for view, sql in VIEWS.items():
            found = 100 if view == "time_to_convert" else expected
            assert connection.query(sql) == [(found,)], (applied, view)
        assert sum(row[5] for row in page(connection, series(filters))) == expected  # type: ignore[misc]
        assert [row[5] for row in page(connection, tops(filters))] == [expected]
        assert [row[3] for row in page(connection, models(filters))] == [expected]
        assert [row[3] for row in page(connection, partners(filters))] == [expected]
    every = "SELECT model_version, sum(revenue) FROM attribution_all_versions GROUP BY 1 ORDER BY 1"
    assert connection.query(every) == [(1, 101), (2, 102)]
    assert connection.query("SELECT count() FROM credits_all_versions") == [(2,)]
