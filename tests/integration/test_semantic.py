"""The views for BI tools, with numbers computed by hand."""

import datetime
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from deploy.costs import COLUMNS, read_costs
from schemas.ids import mint
from sinks.clickhouse.client import Connection
from sinks.clickhouse.grains import ROLLUPS
from sinks.clickhouse.journal import Journal
from sinks.clickhouse.rollup import derive
from sinks.clickhouse.semantic import VIEWS, WINDOWS
from tests.integration.journal_rows import NOW, TOKEN, Flushes, source

SOURCES = [source(topic) for topic in ("impressions", "clicks", "leads", "conversions", "credit-requests")]
MINUTE, DAY, WEEK = 60_000, 86_400_000, 7 * 86_400_000
M = 1_000_000
NOW_MS = "SELECT toUnixTimestamp64Milli(now64(3))"


@pytest.fixture
def journal(emptied: Connection) -> Iterator[Journal]:
    journal = Journal(emptied, "group")
    journal.take_ownership(SOURCES, TOKEN)
    yield journal
    emptied.execute("TRUNCATE TABLE costs")


def fill(journal: Journal, *records: dict[str, Any]) -> None:
    """Land a flush of ``records`` and derive all rollups."""
    block = journal.pack(Flushes(3).flush(list(records)))
    journal.insert(block, "1", SOURCES, TOKEN)
    for rollup in ROLLUPS:
        derive(journal, rollup, SOURCES, TOKEN)


def said(journal: Journal, *lines: str) -> None:
    text = ["day,campaign,currency,amount", *lines]
    journal.connection.insert_rows("costs", COLUMNS, read_costs(text))


def touches(flushes: Flushes, at: int, **counts: int) -> Iterator[dict[str, Any]]:
    for kind, count in counts.items():
        for _ in range(count):
            yield flushes.touch(kind, occurred_at=at, bot=0, campaign="a", affiliate="x", offer="o")


def sale(flushes: Flushes, number: int, value: int, currency: str, at: int) -> list[dict[str, Any]]:
    """A conversion, its count and its credit to campaign a, affiliate x, a day after the click."""
    own = {"transaction_id": f"t{number}", "currency": currency, "occurred_at": at, "campaign": "said"}
    own |= {"affiliate": "", "offer": ""}
    credit = flushes.credit(1, "last_click", mint()[:4], value)
    credited = {"occurred_at": at, "touch_at": at - DAY, "campaign": "a", "affiliate": "x", "offer": "o"}
    return [
        flushes.conversion("approved", **own),
        flushes.count(1, "approved", value, **own),
        flushes.request(mint()[:4], 1, **own),
        {**credit, "status": "approved", "currency": currency, **credited},
    ]


def fortnight(flushes: Flushes) -> list[dict[str, Any]]:
    """10 impressions, 5 clicks (and a bot's), 2 leads; 100 and 60 EUR, 30 USD."""
    records = list(touches(flushes, NOW, impression=10, click=5, lead=2))
    records.append(flushes.touch("click", occurred_at=NOW, bot=1, campaign="a"))
    for number, (value, currency) in enumerate([(100 * M, "EUR"), (60 * M, "EUR"), (30 * M, "USD")]):
        records += sale(flushes, number, value, currency, NOW)
    return records


def test_figures(journal: Journal) -> None:
    """160 EUR of 2 conversions: payout 16, spend 24, so cost 40. The touches repeat beside 30 USD, whose spend is unknown."""
    fill(journal, *fortnight(Flushes(3)))
    said(journal, "2025-10-09,a,EUR,20")
    said(journal, "2025-10-09,a,EUR,24")
    said(journal, "2025-10-09,a,EUR,24")
    sql = """SELECT currency, first_currency, impressions, clicks, leads, conversions, revenue, payout, spend, cost, margin,
        ctr, lead_rate, cr, epc, cpc, cpl, cac, roas, margin_rate FROM {} ORDER BY currency"""
    figures = [
        ("EUR", 1, 10, 5, 2, 2.0, *map(Decimal, (160, 16, 24, 40, 120)))
        + (0.5, 0.4, 0.4, 32.0, 8.0, 20.0, 20.0, 4.0, 0.75),
        ("USD", 0, 10, 5, 2, 1.0, *map(Decimal, (30, 3, 0, 3, 27)))
        + (0.5, 0.4, 0.2, 6.0, 0.6, 1.5, 3.0, 10.0, 0.9),
    ]
    rows = journal.connection.query(sql.format("funnel_daily"))
    assert rows == figures
    campaign = sql.format("campaigns WHERE campaign = 'a'")
    assert journal.connection.query(campaign) == figures
    sql = "SELECT currency, clicks, conversions, revenue, cost, roas FROM affiliates WHERE affiliate = 'x' ORDER BY 1"
    expected = [
        ("EUR", 5, 2.0, Decimal(160), Decimal(16), 10.0),
        ("USD", 5, 1.0, Decimal(30), Decimal(3), 10.0),
    ]
    assert journal.connection.query(sql) == expected
    assert (
        journal.connection.query(
            sql.replace("affiliates", "offers").replace("affiliate = 'x'", "offer = 'o'")
        )
        == expected
    )
    sql = "SELECT currency, campaign, conversions, revenue FROM attribution ORDER BY 1"
    assert journal.connection.query(sql) == [("EUR", "a", 2.0, Decimal(160)), ("USD", "a", 1.0, Decimal(30))]


def test_costs_alone_have_no_rates(journal: Journal) -> None:
    """Division by zero is NULL, and costs without a click are seen all the same."""
    said(journal, "2025-10-09,b,EUR,7.5")
    sql = "SELECT campaign, clicks, cost, margin, ctr, cr, epc, cpc, cac, roas, margin_rate FROM campaigns"
    assert journal.connection.query(sql) == [
        ("b", 0, Decimal("7.5"), Decimal("-7.5"), None, None, None, None, None, 0.0, None)
    ]
    said(journal, "2025-10-09,b,EUR,0")
    assert journal.connection.query("SELECT spend, roas FROM campaigns") == [(Decimal(0), None)]


def test_cohorts_and_time_to_convert(journal: Journal) -> None:
    """A click of Thursday earns 100 a day later (the same week) and 60 a week after that.

    week of 6 Oct         13 Oct
    c ── +1d 100 ─────────── +8d 60 ─▶
    """
    flushes = Flushes(3)
    records = list(touches(flushes, NOW, click=4))
    first, later = (
        sale(flushes, 1, 100 * M, "EUR", NOW + DAY),
        sale(flushes, 2, 60 * M, "EUR", NOW + DAY + WEEK),
    )
    later[-1]["touch_at"] = NOW
    fill(journal, *records, *first, *later)
    sql = """SELECT toString(click_week), weeks_after, clicks, conversions, conversions_so_far, revenue, revenue_so_far, cr_so_far, mature
        FROM cohorts ORDER BY weeks_after"""
    assert journal.connection.query(sql) == [
        ("2025-10-06", 0, 4, 1.0, 1.0, Decimal(100), Decimal(100), 0.25, 1),
        ("2025-10-06", 1, 4, 1.0, 2.0, Decimal(60), Decimal(160), 0.5, 1),
    ]
    sql = "SELECT sum(conversions), min(mean_seconds), max(median_seconds), sum(within_hour), sum(within_day), sum(within_week) FROM time_to_convert"
    assert journal.connection.query(sql) == [(2, 86_400.0, 691_200.0, 0, 0, 1)]


def test_a_week_of_a_cohort_is_mature_once_it_is_over(journal: Journal) -> None:
    """Clicks of three weeks ago and what they earn: before, within and after the week that is now."""
    [(now,)] = journal.connection.query(NOW_MS)
    flushes = Flushes(3)
    times = [now + weeks * WEEK for weeks in (-3, -1, 0, 1)]
    sales = [sale(flushes, number, 100 * M, "EUR", at) for number, at in enumerate(times)]
    for records in sales:
        records[-1]["touch_at"] = now - 3 * WEEK
    fill(journal, *touches(flushes, now - 3 * WEEK, click=1), *(one for records in sales for one in records))
    # The week that is now comes with the answer: it may be another one by then.
    sql = "SELECT addWeeks(click_week, weeks_after), mature, toMonday(now('UTC')) FROM cohorts ORDER BY weeks_after"
    found = journal.connection.query(sql)
    assert [row[0] for row in found] == [monday(at) for at in times]
    assert [mature for _, mature, _ in found] == [int(week < this_week) for week, _, this_week in found]
    assert (found[0][1], found[-1][1]) == (1, 0)


def monday(at: int) -> datetime.date:
    day = datetime.datetime.fromtimestamp(at / 1000, datetime.UTC).date()
    return day - datetime.timedelta(days=day.weekday())


def test_windows_move_with_the_clock(journal: Journal) -> None:
    """Clicks now, a minute, ten minutes, three hours and five days ago: a window has those since its begin, wherever the clock is by then."""
    [(now,)] = journal.connection.query(NOW_MS)
    flushes = Flushes(3)
    ages = {0: 1, MINUTE: 2, 10 * MINUTE: 3, 180 * MINUTE: 5, 5 * DAY: 7}
    fill(journal, *(one for age, count in ages.items() for one in touches(flushes, now - age, click=count)))
    sql = "SELECT window, minutes, since, clicks FROM rolling ORDER BY minutes"
    found = journal.connection.query(sql)
    # The last minute has nothing in it, and no row, if the clock has gone on to the next one.
    assert [row[0] for row in found][-len(WINDOWS) + 1 :] == [name for name, _ in WINDOWS[1:]]
    [(after,)] = journal.connection.query(NOW_MS)
    for _, minutes, since, clicks in found:
        unit = MINUTE if minutes * MINUTE < WEEK else 60 * MINUTE
        last = since.timestamp() * 1000 + minutes * MINUTE - unit
        assert last % unit == 0 and now - unit < last <= after
        assert clicks == sum(
            count for age, count in ages.items() if (now - age) // 1000 >= since.timestamp()
        ), minutes
    assert {row[3] for row in found} >= {11, 18}
    assert journal.connection.query("SELECT sum(clicks) FROM funnel_live") == [(6,)]


def test_tools_are_told_what_everything_means(journal: Journal) -> None:
    query = journal.connection.query
    for view in VIEWS:
        sql = "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = %(name)s"
        assert query(sql, {"name": view.name}) == [(view.comment,)]
        sql = (
            "SELECT name, comment FROM system.columns WHERE database = currentDatabase() AND table = %(name)s"
        )
        assert dict(query(sql, {"name": view.name})) == view.columns  # type: ignore[arg-type]
