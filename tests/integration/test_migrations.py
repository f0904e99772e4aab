"""Migrations against a server: once, in order, never edited."""

from dataclasses import replace
from string import Template
from uuid import UUID

import pytest

from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.errors import MigrationError, Refused
from sinks.clickhouse.migrate import (
    Migration,
    apply_migrations,
    create_database,
    migrations,
    placeholders,
    statements,
)
from sinks.clickhouse.settings import ClickHouseSettings


def test_are_applied_once(migrated: Connection) -> None:
    names = [row[0] for row in migrated.query("SELECT name FROM migrations ORDER BY name")]
    assert names == [one.name for one in migrations()]
    assert apply_migrations(migrated, migrated.settings) == []
    assert migrated.query("SELECT count() FROM migrations") == [(len(names),)]


def test_an_edited_one_is_refused_before_anything_changes(migrated: Connection) -> None:
    edited = [
        replace(one, text=one.text + " ") if one.name.startswith("002") else one for one in migrations()
    ]
    new = Migration("900_new", "CREATE TABLE later (a UInt8) ENGINE = MergeTree ORDER BY a")
    with pytest.raises(MigrationError, match="002_journal was edited"):
        apply_migrations(migrated, migrated.settings, [*edited, new])
    assert migrated.columns("later") == []


def test_a_newer_database_is_refused(migrated: Connection) -> None:
    with pytest.raises(MigrationError, match="004_views was applied but is not known here"):
        apply_migrations(migrated, migrated.settings, migrations()[:3])


def test_a_later_one_is_added(migrated: Connection) -> None:
    new = Migration(
        "900_new",
        "-- two; parts\nCREATE TABLE IF NOT EXISTS ${database}.later (a UInt8) ENGINE = ${MergeTree} ORDER BY a; SELECT ';'",
    )
    assert apply_migrations(migrated, migrated.settings, [*migrations(), new]) == ["900_new"]
    assert [column.name for column in migrated.columns("later")] == ["a"]


def test_one_that_failed_half_way_is_applied_again(migrated: Connection) -> None:
    good = "CREATE TABLE IF NOT EXISTS ${database}.first (a UInt8) ENGINE = ${MergeTree} ORDER BY a"
    with pytest.raises(Refused):
        apply_migrations(
            migrated,
            migrated.settings,
            [*migrations(), Migration("900_new", f"{good}; SELECT no_such_column")],
        )
    assert apply_migrations(migrated, migrated.settings, [*migrations(), Migration("900_new", good)]) == [
        "900_new"
    ]


def test_the_default_database_serves_too(clickhouse: ClickHouseSettings) -> None:
    settings = replace(clickhouse, database="default", retention_days=30)
    connection = connect(settings)
    assert apply_migrations(connection, settings) == [one.name for one in migrations()]
    assert apply_migrations(connection, settings) == []
    connection.close()


def test_every_column_of_a_view_has_a_plain_name(migrated: Connection) -> None:
    rows = migrated.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() "
        "AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'View')"
    )
    assert len({table for table, _ in rows}) >= 10
    assert [row for row in rows if row[1].startswith("_") or "." in row[1]] == []


def test_credits_written_before_models_had_versions_are_the_first_version(
    clickhouse: ClickHouseSettings,
) -> None:
    """So what was credited under last_click before is taken back under last_click 1; the migration may also run twice."""
    settings = replace(clickhouse, database="before_versions")
    older = [one for one in migrations() if one.name < "007"]
    create_database(settings)
    connection = connect(settings)
    apply_migrations(connection, settings, older)
    connection.insert_rows("owners", ("source", "token"), [("c/t/0", 7)])
    kinds = [("click", 0, ""), ("credit", 5, "last_click"), ("credit", 0, "last_click")]
    rows = [(kind, "c/t/0", 7, model, UUID(int=touch), 1) for kind, touch, model in kinds]
    connection.insert_rows("journal", ("kind", "_source", "_owner", "model", "touch_id", "sign"), rows)
    connection.insert_rows("rollup_day", ("model", "revenue"), [("last_click", 9), ("", 8)])
    names = placeholders(settings) | {"fewer_merges": ""}
    for _ in range(2):
        for statement in statements(migrations()[len(older)].text):
            connection.execute(Template(statement).substitute(names))
    sql = "SELECT model_version, touch_kind FROM journal ORDER BY kind, touch_id"
    assert connection.query(sql) == [(0, ""), (1, ""), (1, "click")]
    assert connection.query("SELECT model, model_version, revenue FROM attribution_day") == [
        ("last_click", 1, 9)
    ]
    assert connection.query("SELECT revenue FROM funnel_day") == [(8,)]
    connection.execute("DROP DATABASE before_versions")
    connection.close()
