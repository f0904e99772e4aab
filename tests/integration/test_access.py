"""`funnel access`: statements that both engines can read, over views and tables that are there; the embedded server, which has no users of one's
own, says so."""

import re

import pytest

from deploy.embedded.clickhouse.access.lists import LIMITS as EMBEDDED_LIMITS
from sinks.clickhouse.access import LIMITS, REPORTS, SHARED, TABLES, Account, partner, reader, remove
from sinks.clickhouse.client import Connection
from sinks.clickhouse.errors import ClickHouseError
from sinks.clickhouse.settings import ClickHouseSettings

ACME = Account("acme-2", "correct horse battery", "salt")
HOSTILE = "o'neill\\') OR 1 --"


def every(settings: ClickHouseSettings) -> list[str]:
    return [
        *reader(settings, ACME),
        *partner(settings, ACME, "affiliate", ["acme", HOSTILE]),
        *remove(settings, "acme-2"),
    ]


@pytest.mark.parametrize("cluster", ["", "main"])
def test_the_engine_reads_every_statement(emptied: Connection, cluster: str) -> None:
    settings = ClickHouseSettings(database="funnel", cluster=cluster)
    for statement in every(settings):
        [(read,)] = emptied.query("SELECT formatQuery(%(statement)s)", {"statement": statement})
        # What it has read is what was meant: nothing is left over behind a quote.
        assert str(read).startswith(statement.split()[0])
        assert ("ON CLUSTER" in str(read)) == bool(cluster)
    policies = [text for text in every(settings) if "CREATE ROW POLICY OR REPLACE `funnel_partner" in text]
    [(condition,)] = {tuple(re.findall(r"USING (.*) TO `", text)) for text in policies}
    found = emptied.query(
        f"SELECT affiliate, {condition} FROM (SELECT arrayJoin(['acme', %(hostile)s, 'other']) AS affiliate)",
        {"hostile": HOSTILE},
    )
    assert dict(found) == {"acme": 1, HOSTILE: 1, "other": 0}


def test_a_partner_reads_what_the_reports_read_and_nothing_else(emptied: Connection) -> None:
    """A report over a table that partners may not read would be refused; one over a table without a policy would show them everything."""
    database = emptied.settings.database
    found = emptied.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
    )
    text = {str(name): str(query) for name, query in found}
    for view in REPORTS:
        read = set(re.findall(rf"{database}`?\.`?(\w+)", text[view].partition(" AS ")[2]))
        assert read and read <= {*TABLES, *SHARED, view}, view
    for table in TABLES:
        assert all(re.search(rf"`{name}` ", text[table]) for name in ("affiliate", "offer", "campaign"))
    statements = list(partner(emptied.settings, ACME, "offer", ["shop"]))
    granted = {name for each in statements for name in re.findall(r"SELECT ON `\w+`\.`(\w+)` TO", each)}
    for policy in ("`funnel_others`", "`funnel_partner_acme-2`"):
        told = {
            name for each in statements for name in re.findall(rf"REPLACE {policy} ON `\w+`\.`(\w+)`", each)
        }
        assert told == set(TABLES)
    assert granted == {*REPORTS, *TABLES, *SHARED}


def test_everybody_else_keeps_seeing_everything_before_a_partner_sees_something() -> None:
    statements = list(partner(ClickHouseSettings(), ACME, "affiliate", ["acme"]))
    places = {
        table: [n for n, text in enumerate(statements) if f"ON `default`.`{table}` FOR" in text]
        for table in TABLES
    }
    for first, second in places.values():
        assert "TO ALL EXCEPT `funnel_partner`" in statements[first]
        assert "TO `funnel_partner_acme-2`" in statements[second]


def test_no_password_is_in_the_statements() -> None:
    assert not [text for text in every(ClickHouseSettings()) if ACME.password in text]
    assert ACME.password not in repr(ACME)


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("", "long enough it is"),
        ("a`b", "long enough it is"),
        ("acme", "short"),
        ("funnel_reader", "long enough it is"),
    ],
)
def test_names_and_passwords_that_will_not_do(name: str, password: str) -> None:
    with pytest.raises(ValueError, match=r"no name|fewer than 12|mistaken"):
        Account(name, password, "salt")


def test_the_limits_are_those_of_the_embedded_reader() -> None:
    assert LIMITS == EMBEDDED_LIMITS


@pytest.mark.parametrize("kind", ["reader", "partner"])
def test_the_embedded_server_says_that_it_has_no_such_users(emptied: Connection, kind: str) -> None:
    """Row policies that were accepted and did nothing would show every partner everything."""
    settings = emptied.settings
    statements = (
        reader(settings, ACME) if kind == "reader" else partner(settings, ACME, "affiliate", ["acme"])
    )
    for statement in statements:
        with pytest.raises(
            ClickHouseError, match=r"row policy of one's own.* is not supported by the embedded ClickHouse"
        ):
            emptied.execute(statement)
