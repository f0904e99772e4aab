"""The live page in a real browser: its numbers are those of `verify`, its state is its URL, and nothing that comes in is run."""

import csv
import io
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.embedded.ports import free_port
from deploy.embedded.stack import answers, owns_partitions
from tests.browser.conftest import Visitor, visiting
from tests.browser.live_page import HOSTILE, WIDE, click, counted, numbers, query, shown
from tests.contract.node import node_modules, required_node
from tests.support import Running, funnel

PHONE = {"width": 390, "height": 844}
SCREENSHOTS = os.environ.get("FUNNEL_TEST_SCREENSHOTS", "")
"""Where the pictures are kept, if anywhere: the one of the README is made of them."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with counted(tmp_path_factory.mktemp("page") / "stack") as running:
        yield running


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    with visiting(browser, viewport=WIDE, color_scheme="light") as visitor:
        yield visitor
        assert visitor.complaints == []


def test_the_numbers_are_those_that_verify_has_compared(visitor: Visitor, running: Running) -> None:
    assert funnel(running, "verify").returncode == 0
    [expected] = query(
        running,
        "SELECT (SELECT count() FROM impressions), (SELECT count() FROM clicks), (SELECT count() FROM leads), "
        "(SELECT countIf(status IN ('pending', 'approved')) FROM conversions)",
    )
    page = shown(visitor, running)
    assert numbers(page) == list(expected)
    [(campaign, clicks)] = query(
        running,
        "SELECT campaign, count() AS n FROM clicks WHERE campaign != '' GROUP BY 1 ORDER BY n DESC, 1 LIMIT 1",
    )
    first = page.locator("#top tbody tr").first
    assert first.locator("th").inner_text() == campaign
    assert first.locator("td").nth(1).inner_text() == f"{clicks:,}"


def test_numbers_change_by_themselves(visitor: Visitor, running: Running) -> None:
    page = shown(visitor, running)
    before = numbers(page)[1]
    click(running, "live", 1000)
    expect(page.locator("#funnel [data-step=clicks] .big")).to_have_text(f"{before + 1:,}", timeout=60_000)
    assert page.locator("#fresh").get_attribute("data-state") == "ok"


def test_filters_are_in_the_url_and_come_back(visitor: Visitor, running: Running, browser: Browser) -> None:
    page = shown(visitor, running)
    everything = numbers(page)
    page.wait_for_selector("#filters [name=channel] option[value]:nth-child(2)", state="attached")
    [(channel, clicks)] = query(
        running, "SELECT channel, count() AS n FROM clicks GROUP BY 1 ORDER BY n DESC LIMIT 1"
    )
    page.select_option("#filters [name=channel]", channel)
    expect(page.locator("#funnel [data-step=clicks] .big")).to_have_text(f"{clicks:,}")
    assert f"channel={quote(channel)}" in page.url
    with visiting(browser) as other:
        other.page.goto(page.url)
        other.page.wait_for_selector("html[data-shown]")
        assert numbers(other.page)[1] == clicks
    page.go_back()
    expect(page.locator("#funnel [data-step=impressions] .big")).to_have_text(f"{everything[0]:,}")


def test_the_last_hour_by_second(visitor: Visitor, running: Running) -> None:
    page = shown(visitor, running)
    page.select_option("#recent", "60")
    expect(page.locator("#now")).to_have_attribute("aria-label", re.compile("events in the last 60 minutes"))
    assert "recent=60" in page.url
    told = httpx.get(f"{running.stack.dashboard_url}api/overview?recent=60", trust_env=False).json()
    assert sum(sum(row[1:]) for row in told["seconds"]) >= 3, (
        "the clicks of the hostile campaign came just now"
    )


def test_the_file_holds_what_the_table_shows(visitor: Visitor, running: Running) -> None:
    page = shown(visitor, running)
    with page.expect_download() as download:
        page.click("a[data-table=top]")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    first = page.locator("#top tbody tr").first
    assert first.locator("th").inner_text() == rows[0]["campaign"]
    assert first.locator("td").nth(1).inner_text() == f"{int(rows[0]['clicks']):,}"
    assert HOSTILE in {row["campaign"] for row in rows}


def test_hostile_names_are_text(visitor: Visitor, running: Running) -> None:
    page = shown(visitor, running, f"?range=1h&bots=1&campaign={quote(HOSTILE)}")
    assert page.locator("#top tbody th").first.inner_text() == HOSTILE
    assert numbers(page)[1] == 3
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "funnel"


def test_a_journey(visitor: Visitor, running: Running) -> None:
    # Of one transaction: each has its own list to unfold.
    sql = (
        "SELECT any(click_id), visitor_id FROM credits JOIN clicks ON touch_id = event_id WHERE model = 'last_click' "
        "GROUP BY visitor_id HAVING uniqExact(transaction_id) = 1 ORDER BY visitor_id LIMIT 1"
    )
    [(click_id, visitor_id)] = query(running, sql)
    page = shown(visitor, running)
    page.fill("#find input", click_id)
    page.press("#find input", "Enter")
    expect(page.locator("#journey .sum").first).to_contain_text(visitor_id)
    expect(page.locator("#journey summary")).to_have_count(3)
    kinds = page.locator("#journey li").evaluate_all("items => items.map((item) => item.dataset.kind)")
    assert "click" in kinds and "conversion" in kinds
    assert "journey=" in page.url


def test_a_journey_of_hostile_names_is_text(visitor: Visitor, running: Running) -> None:
    [(click_id,)] = query(running, "SELECT click_id FROM clicks WHERE visitor_id = 'hostile-0'")
    page = shown(visitor, running)
    page.fill("#find input", click_id)
    page.press("#find input", "Enter")
    expect(page.locator("#journey")).to_contain_text(HOSTILE)
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "funnel"


def test_by_keyboard_alone(visitor: Visitor, running: Running) -> None:
    page = shown(visitor, running)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.focus("[data-top=affiliate]")
    page.keyboard.press("Enter")
    expect(page.locator("[data-top=affiliate]")).to_have_attribute("aria-pressed", "true")
    page.focus("[data-key=sort-leads]")
    page.keyboard.press("Enter")
    expect(page.locator("[data-key=sort-leads]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-key=sort-leads]")).to_be_focused()
    assert "top=affiliate" in page.url and "metric=leads" in page.url


@pytest.mark.parametrize("state", ["", "?from=2026-01-01&to=2026-01-03"])
def test_on_a_phone_every_filter_is_in_sight(browser: Browser, running: Running, state: str) -> None:
    with visiting(browser, viewport=PHONE) as visitor:
        page = shown(visitor, running, state)
        boxes = page.locator("#filters :is(select, input, button):visible").evaluate_all(
            "found => found.map((one) => one.getBoundingClientRect()).map((box) => [box.left, box.right, box.width])"
        )
        assert len(boxes) == (12 if state else 10)
        assert [box for box in boxes if box[0] < 0 or box[1] > PHONE["width"] or box[2] < 16] == []
        cut = page.locator("#filters select").evaluate_all(
            "found => found.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.name)"
        )
        assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_for_screen_readers(
    browser: Browser, running: Running, axe: str, scheme: str
) -> None:
    with visiting(browser, viewport=PHONE if scheme == "dark" else WIDE, color_scheme=scheme) as visitor:
        visitor.context.add_init_script(axe)
        page = shown(visitor, running, "?range=24h")
        page.wait_for_selector("#now .main-svg")
        page.wait_for_selector("#partners tbody tr")
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "the page scrolls sideways"
        found = page.evaluate("axe.run()")
        picture(page, f"live-page-{scheme}")
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert serious == [], json.dumps(
        [(one["id"], [n["html"] for n in one["nodes"]][:3]) for one in serious], indent=1
    )


@pytest.fixture(scope="session")
def axe() -> str:
    """The text of axe-core, from npm."""
    required_node()
    return (node_modules(Path(__file__).with_name("axe")) / "node_modules/axe-core/axe.min.js").read_text()


def picture(page: Page, name: str) -> None:
    """Keep a picture, where somebody wants them."""
    if SCREENSHOTS:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def routed(page: Page, change: Any) -> None:
    """Let ``change`` have its way with the first numbers of the page; nothing newer comes."""
    # Charts take longer to load than all the rest, and nothing here looks at them.
    page.route("**/plotly.js", lambda route: route.abort())

    def answer(route: Any) -> None:
        response = route.fetch()
        before, mark, rest = response.text().partition('id="first">')
        data, end, after = rest.partition("</script>")
        told = json.loads(data)
        change(told["overview"])
        text = json.dumps(told).replace("<", "\\u003c")
        route.fulfill(response=response, body=before + mark + text + end + after)

    page.route(lambda url: url.rstrip("/").count("/") == 2 or "/?" in url, answer)


def test_it_says_when_the_pipeline_lags_or_is_silent(browser: Browser, running: Running) -> None:
    now = int(time.time() * 1000)
    cases = [
        ([["c/clicks/0", now, now - 95_000, 0]], "lag", "events are counted 2 min after they arrived"),
        ([["c/clicks/0", now - 40_000, now - 40_000, 7]], "lag", "7 records are stored and not yet in them"),
        ([["c/clicks/0", now - 7_200_000, now - 7_200_000, 0]], "silent", "Nothing has arrived for 2 h"),
        (
            [["c/clicks/0", now, now, 0], ["c/leads/0", now - 7_200_000, now - 7_200_000, 0]],
            "silent",
            "no leads for 2 h",
        ),
    ]
    for sources, state, text in cases:
        with visiting(browser) as visitor:
            page = visitor.page
            page.add_init_script("window.EventSource = class extends EventTarget { close() {} }")
            routed(page, lambda overview, sources=sources: overview.update(sources=sources))
            page.goto(running.stack.dashboard_url)
            expect(page.locator("#notice")).to_contain_text(text)
            expect(page.locator("#fresh")).to_have_attribute("data-state", state)
            picture(page, f"live-page-{state}")


def test_before_the_first_event_it_says_how_to_begin(browser: Browser, running: Running) -> None:
    with visiting(browser) as visitor:
        page = visitor.page
        page.add_init_script("window.EventSource = class extends EventTarget { close() {} }")
        routed(page, lambda overview: overview.update(sources=[], points=[], tops=[], models=[], seconds=[]))
        page.goto(running.stack.dashboard_url)
        expect(page.locator("#empty")).to_be_visible()
        expect(page.locator("#fresh-text")).to_have_text("No events yet")
        picture(page, "live-page-empty")


def test_it_says_when_nothing_takes_events_out_of_kafka_and_when_it_goes_on(
    browser: Browser, running: Running
) -> None:
    """The workers are stopped, events come, and a worker comes back: nothing is made up for the page."""
    stack, port = running.stack, free_port()
    url = f"http://127.0.0.1:{port}/"
    page_process = stack.start(
        "second page",
        "dashboard",
        lambda _: answers(f"{url}healthz"),
        DASHBOARD_PORT=str(port),
        DASHBOARD_LAG_SECONDS="2",
    )
    worker = stack.processes["worker"].child
    try:
        with visiting(browser) as visitor:
            page = visitor.page
            page.route("**/plotly.js", lambda route: route.abort())
            page.goto(url)
            page.wait_for_selector("html[data-shown]")
            expect(page.locator("#notice")).not_to_contain_text("stands still", timeout=60_000)
            worker.stop()
            for number in range(5):
                click(running, "waiting", number)
            expect(page.locator("#notice")).to_contain_text("wait in Kafka", timeout=60_000)
            expect(page.locator("#fresh")).to_have_attribute("data-state", "lag")
            worker.start(lambda: owns_partitions(stack.processes["worker"].metrics), 120.0)
            expect(page.locator("#fresh")).to_have_attribute("data-state", "ok", timeout=120_000)
            expect(page.locator("#notice")).to_be_hidden()
    finally:
        page_process.child.stop()
        if worker.pid is None:
            worker.start(lambda: owns_partitions(stack.processes["worker"].metrics), 120.0)
