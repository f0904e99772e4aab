"""Cutting SQL into statements, and what the placeholders stand for."""

from string import Template

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.clickhouse.migrate import migrations, placeholders, statements
from sinks.clickhouse.settings import ClickHouseSettings

PIECES = st.sampled_from(
    [
        "SELECT 1",
        "'a;b'",
        "'it\\'s;'",
        "'it''s;'",
        '"x;y"',
        "`q;`",
        "-- note; no\n",
        "/* a;\nb */",
        " ",
        "\n",
        "x",
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" ;; \n;", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT 2", ["SELECT ';'", "SELECT 2"]),
        ("SELECT 'it''s; one'; x", ["SELECT 'it''s; one'", "x"]),
        (r"SELECT 'a\';b'; x", [r"SELECT 'a\';b'", "x"]),
        ('SELECT `a;b`, "c;d"; x', ['SELECT `a;b`, "c;d"', "x"]),
        ("-- only; a comment\n;", []),
        ("-- head; of\nSELECT 1 /* in; side */;-- tail;", ["-- head; of\nSELECT 1 /* in; side */"]),
        ("/* never; closed", []),
    ],
)
def test_statements(text: str, expected: list[str]) -> None:
    assert list(statements(text)) == expected


@given(st.lists(st.lists(PIECES, min_size=1), max_size=5))
def test_statements_are_what_was_joined(parts: list[list[str]]) -> None:
    texts = ["x" + " ".join(pieces) for pieces in parts]
    assert list(statements(";".join(texts))) == [text.strip() for text in texts]


def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(one.name[:3]) for one in migrations()] == list(range(1, len(migrations()) + 1))


def substituted(settings: ClickHouseSettings) -> str:
    names = {**placeholders(settings), "fewer_merges": ""}
    return "\n".join(Template(one.text).substitute(names) for one in migrations())


def test_plain_engines() -> None:
    text = substituted(ClickHouseSettings(database="events"))
    assert "Replicated" not in text
    assert "ON CLUSTER" not in text
    assert "TTL" not in text
    assert "non_replicated_deduplication_window = 10000" in text
    assert "joinGet('events.owners', 'token', _source)" in text


def test_replicated_engines_on_a_cluster() -> None:
    text = substituted(ClickHouseSettings(replicated=True, cluster="main"))
    assert "ENGINE = ReplicatedMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}')" in text
    assert "ENGINE = ReplicatedAggregatingMergeTree(" in text
    assert " replicated_deduplication_window = 10000" in text
    assert "non_replicated" not in text
    creating = [line for line in text.splitlines() if line.startswith("CREATE")]
    assert creating
    assert all("ON CLUSTER `main`" in line for line in creating)
