"""The live page's table of partners: added up from signed credits, it says what those that stand say."""

import uuid
from typing import Any

from dashboard import queries
from dashboard.filters import parse
from schemas.ids import mint
from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import Journal
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

MINUTE = 60_000
SOURCES = [source("leads"), source("credit-requests")]


def land(connection: Connection, flushes: Flushes, *rows: dict[str, Any]) -> None:
    journal = Journal(connection, "group")
    journal.insert(journal.pack(flushes.flush(list(rows))), uuid.uuid4().hex, SOURCES, TOKEN)


def test_signed_credits_add_up_to_those_that_stand(emptied: Connection) -> None:
    """Of acme's three sales one is reversed, and one was first credited with more and two hours earlier; of zeta's one nothing is left.

    ::

        acme   t1 +100 (10 min)                      stands
               t2 +500 (120 min)  −500  +200 (30 min) stands
               t3 +50 (20 min), reversed             stands, and is lost
        zeta   t4 +70             −70                nothing
    """
    Journal(emptied, "group").take_ownership(SOURCES, TOKEN)
    flushes = Flushes(5)

    def credit(
        sign: int, number: str, value: int, minutes: int, affiliate: str = "acme", **more: Any
    ) -> dict[str, Any]:
        row = flushes.credit(sign, "linear", mint()[:4], value, transaction_id=number)
        touched = {"touch_at": NOW - minutes * MINUTE, "occurred_at": NOW, "affiliate": affiliate}
        return row | touched | {"currency": "EUR", "channel": "affiliate"} | more

    leads = [
        flushes.touch("lead", _record_time=NOW) | {"affiliate": name, "bot": 0, "occurred_at": NOW}
        for name in ("acme", "acme", "zeta")
    ]
    land(emptied, flushes, *leads, credit(1, "t1", 100, 10), credit(1, "t2", 500, 120))
    land(emptied, flushes, credit(1, "t3", 50, 20, status="reversed"), credit(1, "t4", 70, 5, "zeta"))
    land(
        emptied,
        flushes,
        credit(-1, "t2", 500, 120),
        credit(1, "t2", 200, 30),
        credit(-1, "t4", 70, 5, "zeta"),
        credit(1, "t5", 1, 1, currency="USD", affiliate="", channel="unattributed"),
    )
    values = {"range": "24h", "model": "linear", "currency": "EUR"}
    asked = queries.partners(parse(values, NOW // 1000 + 60))
    assert emptied.query(asked.sql, asked.parameters) == [
        ("acme", 2.0, 2.0, 300, 1.0, 3.0, 20 * 60.0),
        ("zeta", 1.0, 0.0, 0, 0.0, 0.0, 0.0),
    ]
