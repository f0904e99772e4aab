"""Readers and partners on a real server: what they see, and that limits hold. The embedded one has no users of one's own."""

from collections.abc import Iterable, Iterator

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from sinks.clickhouse.access import Account, partner, reader, remove
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrate import apply_migrations
from sinks.clickhouse.settings import ClickHouseSettings
from tests.contract.conftest import REAL, Target, own_database, real

pytestmark = pytest.mark.skipif(
    not REAL, reason="FUNNEL_TEST_CLICKHOUSE names no server, and the embedded one has no users of one's own"
)
PASSWORD = "correct horse battery"
NAMES = ("contract-reader", "contract-acme")


def ask(target: Target, name: str, sql: str) -> list[tuple[object, ...]]:
    client = Client(target.host, target.port, user=name, password=PASSWORD, database=target.database)
    try:
        rows: list[tuple[object, ...]] = client.execute(sql)
        return rows
    finally:
        client.disconnect()


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    """A database with two affiliates' clicks, a reader, and a partner who is one of them."""
    with own_database(real()) as target:
        settings = ClickHouseSettings(
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            database=target.database,
        )
        connection = connect(settings)

        def run(statements: Iterable[str]) -> None:
            for statement in statements:
                connection.execute(statement)

        try:
            apply_migrations(connection, settings)
            for name in ("minute", "hour", "day"):
                connection.execute(
                    f"INSERT INTO rollup_{name} (bucket, affiliate, offer, channel, model, clicks) VALUES "
                    "(toStartOfDay(now('UTC')), 'acme', 'loan', 'Affiliates', '', 3), "
                    "(toStartOfDay(now('UTC')), 'other', 'loan', 'Affiliates', '', 5)"
                )
            # Twice: everything may be run again.
            for _ in range(2):
                run(reader(settings, Account(NAMES[0], PASSWORD, "salt")))
                run(partner(settings, Account(NAMES[1], PASSWORD, "salt"), "affiliate", ["acme"]))
            yield target
        finally:
            for name in NAMES:
                run(remove(settings, name))
            connection.close()


def test_a_partner_sees_own_rows_through_views_and_tables(target: Target) -> None:
    for table, name in (
        ("affiliates", "affiliate"),
        ("rollup_day", "affiliate"),
        ("rollup_minute", "affiliate"),
    ):
        assert ask(target, NAMES[1], f"SELECT {name}, sum(clicks) FROM {table} GROUP BY 1") == [("acme", 3)]
    assert ask(target, NAMES[1], "SELECT offer, sum(clicks) FROM offers GROUP BY 1") == [("loan", 3)]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM journal",
        "SELECT count() FROM leads",
        "SELECT count() FROM costs",
        "INSERT INTO rollup_day (affiliate) VALUES ('acme')",
        "SELECT 1 SETTINGS max_execution_time = 0",
        "SELECT 1 SETTINGS max_memory_usage = 99999999999",
        "SET ROLE funnel_partner",
        "CREATE TABLE mine (a Int8) ENGINE = Memory",
    ],
)
def test_a_partner_may_do_no_more(target: Target, sql: str) -> None:
    with pytest.raises(ServerException):
        ask(target, NAMES[1], sql)


def test_others_see_everything_as_before(target: Target) -> None:
    everything = [("acme", 3), ("other", 5)]
    sql = "SELECT affiliate, sum(clicks) FROM rollup_day GROUP BY 1 ORDER BY 1"
    assert ask(target, NAMES[0], sql) == everything
    assert target.connect().execute(sql) == everything


def test_the_reader_changes_nothing_and_keeps_to_limits(target: Target) -> None:
    assert ask(target, NAMES[0], "SELECT count() FROM journal") == [(0,)]
    for sql in (
        "TRUNCATE TABLE rollup_day",
        "SELECT 1 SETTINGS max_result_rows = 0",
        "SELECT * FROM system.users",
    ):
        with pytest.raises(ServerException):
            ask(target, NAMES[0], sql)
