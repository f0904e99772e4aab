"""The views for BI: the migration holds what the definitions render, and every column says what it means."""

from sinks.clickhouse.migrate import migrations
from sinks.clickhouse.semantic import RATIOS, VIEWS, render


def test_the_newest_migration_of_the_views_is_what_the_definitions_render() -> None:
    newest = [one for one in migrations() if one.name.endswith("semantic_views")][-1]
    assert newest.text == render(), "add a migration: python -m sinks.clickhouse.semantic"


def test_a_figure_has_one_formula() -> None:
    for view in VIEWS:
        for name, (formula, _) in RATIOS.items():
            made = [
                line for line in view.sql.splitlines() if line.strip().rstrip(",").endswith(f" AS {name}")
            ]
            allowed = {formula, "payout"} if name == "cost" else {formula}
            assert all(line.strip().rstrip(",").removesuffix(f" AS {name}") in allowed for line in made)
