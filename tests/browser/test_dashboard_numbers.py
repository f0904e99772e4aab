"""Every number on the live page is what SQL says of the single events, credits and transactions that `verify` has compared."""

import csv
import datetime
import io
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Visitor, visiting
from tests.browser.live_page import WIDE, counted, percent, query, ratio, rows, says, shown
from tests.support import Running, funnel

HOUR = 3600
WEEK = "?range=7d&bots=1"
RECOGNISED = "status IN ('pending', 'approved')"
SECONDS = {"s": 1, "min": 60, "h": HOUR, "d": 24 * HOUR}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with counted(tmp_path_factory.mktemp("numbers") / "stack") as running:
        verified = funnel(running, "verify")
        assert verified.returncode == 0, verified.stdout
        yield running


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    with visiting(browser, viewport=WIDE) as visitor:
        yield visitor
        assert visitor.complaints == []


class Looked(NamedTuple):
    """A page of the last seven days and all that a query needs to look at the same."""

    page: Page
    running: Running
    first: dict[str, Any]

    def ask(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """The answer to ``sql``, in which WITHIN stands for what the page looks at."""
        within = "occurred_at >= toDateTime64(%(start)s, 3, 'UTC') AND occurred_at < toDateTime64(%(end)s, 3, 'UTC')"
        values = {name: self.first[name] for name in ("start", "end", "step", "currency")}
        return query(self.running, sql.replace("WITHIN", within), values | parameters)


def look(visitor: Visitor, running: Running, state: str = WEEK) -> Looked:
    page = shown(visitor, running, state)
    first = json.loads(page.locator("#first").text_content() or "")
    return Looked(page, running, first["overview"])


def touches(looked: Looked, name: str) -> dict[str, list[int]]:
    """Impressions, clicks and leads by a column or expression."""
    counts: dict[str, list[int]] = {}
    for place, table in enumerate(("impressions", "clicks", "leads")):
        for key, count in looked.ask(f"SELECT {name} AS key, count() FROM {table} WHERE WITHIN GROUP BY key"):
            counts.setdefault(key, [0, 0, 0])[place] = count
    return counts


def credits(looked: Looked, name: str) -> dict[tuple[str, str], tuple[float, int]]:
    """Conversions and revenue (micros) by model and a column."""
    sql = (
        f"SELECT model, {name}, sum(weight) / 1e9, sumIf(ifNull(value, 0), currency = %(currency)s) FROM credits "
        f"WHERE WITHIN AND {RECOGNISED} GROUP BY 1, 2"
    )
    return {(model, key): (conversions, revenue) for model, key, conversions, revenue in looked.ask(sql)}


def test_the_funnel_its_rates_and_its_money(visitor: Visitor, running: Running) -> None:
    looked = look(visitor, running)
    impressions, clicks, leads = touches(looked, "''")[""]
    [(currency,)] = looked.ask(
        f"SELECT currency FROM conversions WHERE WITHIN AND {RECOGNISED} GROUP BY 1 ORDER BY count() DESC, 1 LIMIT 1"
    )
    [(conversions, revenue)] = looked.ask(
        f"SELECT count(), sumIf(value, currency = '{currency}') / 1e6 FROM conversions WHERE WITHIN AND {RECOGNISED}"
    )
    assert revenue > 0
    assert looked.page.input_value("select[name=currency]") == currency
    bigs = looked.page.locator("#funnel .big").all_inner_texts()
    expected = [impressions, clicks, leads, conversions, revenue]
    assert [text for text, value in zip(bigs, expected, strict=True) if not says(text, value)] == []
    rates = looked.page.locator("#funnel .rate b").all_inner_texts()
    expected = [
        percent(clicks, impressions),
        percent(leads, clicks),
        percent(conversions, clicks),
        revenue / clicks,
    ]
    assert [text for text, value in zip(rates, expected, strict=True) if not says(text, value)] == []


@pytest.mark.parametrize("top", ["campaign", "affiliate", "offer"])
def test_the_best_and_their_rates(visitor: Visitor, running: Running, top: str) -> None:
    looked = look(visitor, running, f"{WEEK}&top={top}&metric=impressions&model=linear")
    counts, credited = touches(looked, top), credits(looked, top)
    found = rows(looked.page, "#top")
    named = {name: sums for name, sums in counts.items() if name}
    best = sorted(named, key=lambda name: (-named[name][0], name))[:12]
    assert [row[0] for row in found] == best
    for name, *texts, _ in found:
        impressions, clicks, leads = counts[name]
        conversions, revenue = credited.get(("linear", name), (0, 0))
        expected = [impressions, clicks, percent(clicks, impressions), leads, conversions]
        expected += [percent(conversions, clicks), revenue / 1e6, ratio(revenue / 1e6, clicks)]
        assert [text for text, value in zip(texts, expected, strict=True) if not says(text, value)] == [], (
            name
        )
    assert any(credited.get(("linear", name), (0, 0))[1] for name in best)


def test_a_trend_is_the_metric_hour_by_hour(visitor: Visitor, running: Running) -> None:
    looked = look(visitor, running)
    name = rows(looked.page, "#top")[0][0]
    hour = "intDiv(toUnixTimestamp(occurred_at) - %(start)s, 3600)"
    sql = f"SELECT {hour} AS hour, count() FROM clicks WHERE WITHIN AND campaign = %(name)s GROUP BY hour"
    hours = dict(looked.ask(sql, name=name))
    path = looked.page.locator("#top tbody .spark path").first.get_attribute("d") or ""
    heights = [float(point.split(" ")[1]) for point in path.replace("M", "L").split("L")[1:]]
    assert looked.first["step"] == HOUR
    most = max(hours.values())
    assert most > 1
    assert [round((22 - height) * most / 20) for height in heights] == [
        hours.get(hour, 0) for hour in range(-(-(looked.first["end"] - looked.first["start"]) // HOUR))
    ]


def test_models_side_by_side_share_the_same_conversions(visitor: Visitor, running: Running) -> None:
    looked = look(visitor, running)
    credited = credits(looked, "campaign")
    models = sorted({model for model, _ in credited})
    *named, (foot, *totals) = rows(looked.page, "#models")
    heads = looked.page.locator("#models thead th").all_inner_texts()[1::2]
    assert [text.replace(" ", "_") for text in heads] == models
    assert len(models) > 5 and len(named) == 8
    for name, *texts in named:
        sums = [credited.get((model, "" if name == "(none)" else name), (0, 0)) for model in models]
        expected = [value for conversions, revenue in sums for value in (conversions, revenue / 1e6)]
        assert [text for text, value in zip(texts, expected, strict=True) if not says(text, value)] == [], (
            name
        )
    [(conversions, revenue)] = looked.ask(
        f"SELECT count(), sumIf(value, currency = %(currency)s) / 1e6 FROM conversions WHERE WITHIN AND {RECOGNISED}"
    )
    assert foot == "All"
    assert [text for text in totals[0::2] if not says(text, conversions)] == []
    assert [text for text in totals[1::2] if not says(text, revenue)] == []


def test_whose_leads_become_customers(visitor: Visitor, running: Running) -> None:
    looked = look(visitor, running, f"{WEEK}&model=first_touch")
    leads = {name: counts[2] for name, counts in touches(looked, "affiliate").items() if counts[2]}
    sql = (
        f"SELECT affiliate, sumIf(weight, {RECOGNISED}) / 1e9, sumIf(ifNull(value, 0), {RECOGNISED} AND currency = %(currency)s) / 1e6, "
        "sumIf(weight, status = 'reversed') / 1e9, sum(weight) / 1e9, groupArray(dateDiff('second', touch_at, occurred_at)) "
        "FROM credits WHERE WITHIN AND model = 'first_touch' AND channel != 'unattributed' GROUP BY 1"
    )
    earned = {name: sums for name, *sums in looked.ask(sql)}
    found = rows(looked.page, "#partners")
    known = {name for name in leads | earned if name}
    assert [row[0] for row in found] == sorted(known, key=lambda name: (-leads.get(name, 0), name))[:12]
    for name, *texts, median in found:
        sales, revenue, lost, total, seconds = earned.get(name, (0, 0, 0, 0, []))
        came = leads.get(name, 0)
        expected = [came, sales, percent(sales, came), ratio(revenue, came), percent(lost, total)]
        assert [text for text, value in zip(texts, expected, strict=True) if not says(text, value)] == [], (
            name
        )
        if not seconds:
            assert median == "–"
            continue
        number, unit = median.split(" ")
        low, high = (
            pick(seconds) / SECONDS[unit] for pick in (statistics.median_low, statistics.median_high)
        )
        assert says(number, low) or says(number, high) or low <= float(number) <= high, name
    assert sum(earned[row[0]][0] for row in found if row[0] in earned) > 0


def test_affiliates_by_lead_magnet(visitor: Visitor, running: Running) -> None:
    looked = look(visitor, running)
    sql = "SELECT affiliate, form, count() FROM leads WHERE WITHIN AND affiliate != '' AND form != '' GROUP BY 1, 2"
    cells = {(affiliate, form): count for affiliate, form, count in looked.ask(sql)}
    found = rows(looked.page, "#magnets")
    forms = looked.page.locator("#magnets thead th").all_inner_texts()[1:]
    assert set(forms) == {form for _, form in cells}
    assert len(forms) > 1 and len(found) == min(10, len({affiliate for affiliate, _ in cells}))
    assert {
        (name, form): text for name, *texts in found for form, text in zip(forms, texts, strict=True) if text
    } == {pair: f"{count:,}" for pair, count in cells.items() if pair[0] in {row[0] for row in found}}
    assert max(cells, key=lambda pair: cells[pair])[0] in {row[0] for row in found}


def test_the_file_holds_the_points_over_time(visitor: Visitor, running: Running) -> None:
    """In a zone whose hours begin at half past UTC's: they are shown by UTC's."""
    looked = look(visitor, running, f"{WEEK}&tz=Asia/Kolkata")
    with looked.page.expect_download() as download:
        looked.page.click("a[data-table=time]")
    assert download.value.suggested_filename == "funnel-time.csv"
    found = {
        datetime.datetime.fromisoformat(row["time"]): row
        for row in csv.DictReader(io.StringIO(Path(download.value.path()).read_text()))
    }
    assert {time.utcoffset() for time in found} == {datetime.timedelta(hours=5, minutes=30)}
    hour = "intDiv(toUnixTimestamp(occurred_at), 3600) * 3600"
    counts = touches(looked, hour)
    sql = (
        f"SELECT {hour} AS hour, count(), sumIf(value, currency = %(currency)s), sumIf(payout, currency = %(currency)s) "
        f"FROM conversions WHERE WITHIN AND {RECOGNISED} GROUP BY hour"
    )
    converted = {at: sums for at, *sums in looked.ask(sql)}
    expected = {
        at: [*counts.get(at, (0, 0, 0)), *converted.get(at, (0, 0, 0))]
        for at in counts.keys() | converted.keys()
    }
    columns = ("impressions", "clicks", "leads", "conversions")
    assert {
        int(time.timestamp()): [
            *(int(row[name]) for name in columns),
            *(round(float(row[name]) * 1e6) for name in ("revenue", "payout")),
        ]
        for time, row in found.items()
        if any(row[name] != "0" for name in columns)
    } == expected
    assert {row["currency"] for row in found.values()} == {looked.first["currency"]}


def test_days_are_those_of_the_time_zone(visitor: Visitor, running: Running) -> None:
    looked = look(visitor, running, "?range=30d&bots=1")
    days = "SELECT toString(toDate(occurred_at, %(zone)s)) || ' 00:00:00' AS day, count() FROM clicks GROUP BY day ORDER BY day"
    drawn = """([wanted]) => {
      const [drawn] = document.getElementById("chart").data ?? [];
      const days = drawn?.x.map((day, place) => [day, drawn.y[place]]).filter(([, count]) => count);
      return JSON.stringify(days) === wanted;
    }"""
    answers = []
    for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles"):
        looked.page.select_option("#tz", zone)
        answers.append(json.dumps(looked.ask(days, zone=zone), separators=(",", ":")))
        looked.page.wait_for_function(drawn, arg=[answers[-1]])
        assert ("tz=" in looked.page.url) == (zone != "UTC")
    assert len(set(answers)) == 3
    looked.page.go_back()
    looked.page.wait_for_function(drawn, arg=[answers[1]])
    assert looked.page.input_value("#tz") == "Asia/Tokyo"
