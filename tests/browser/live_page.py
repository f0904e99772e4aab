"""The live page with simulated events on it, and what stands on it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page

from deploy.settings import clickhouse_settings
from sinks.clickhouse.client import connect
from tests.browser.conftest import Visitor
from tests.support import Running, drain, funnel

HOSTILE = '<img src=x onerror="document.title=1">'
EVENTS = 3000
WIDE = {"width": 1440, "height": 900}


@contextmanager
def counted(directory: Path) -> Iterator[Running]:
    """A stack with a page, simulated events, and some of a campaign with a hostile name."""
    running = Running(directory)
    try:
        running.start()
        running.stack.start_collector()
        running.stack.start_worker()
        running.stack.start_dashboard(DASHBOARD_SILENT_SECONDS="3600")
        sent = funnel(running, "simulate", "--events", str(EVENTS), "--no-mess")
        assert sent.returncode == 0, sent.stderr
        for number in range(3):
            click(running, HOSTILE, number)
        drain(running.values)
        yield running
    finally:
        running.stack.stop()


def click(running: Running, campaign: str, number: int) -> None:
    event = {"kind": "click", "campaign": campaign, "visitor_id": f"hostile-{number}"}
    headers = {"authorization": f"Bearer {running.values['tokens'][0]}"}
    answer = httpx.post(
        f"{running.stack.collector_url}/events", json={"events": [event]}, headers=headers, trust_env=False
    )
    assert answer.is_success, answer.text


def query(running: Running, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
    connection = connect(clickhouse_settings(running.values))
    try:
        return connection.query(sql, parameters)
    finally:
        connection.close()


def shown(visitor: Visitor, running: Running, state: str = "?range=30d&bots=1") -> Page:
    page = visitor.page
    page.goto(running.stack.dashboard_url + state)
    page.wait_for_selector("html[data-shown]")
    return page


def numbers(page: Page) -> list[int]:
    texts = page.locator("#funnel li:not(:last-child) .big").all_inner_texts()
    return [int(text.replace(",", "")) for text in texts]


def says(text: str, value: float | None) -> bool:
    """Whether a text on the page is ``value``, to the digits that it has; None is a dash."""
    if value is None or text == "–":
        return value is None and text == "–"
    number = re.sub(r"[^0-9.-]", "", text)
    digits = len(number.partition(".")[2])
    return abs(float(number) - value) <= 0.5 * 10**-digits + 1e-9


def ratio(upper: float, lower: float) -> float | None:
    return upper / lower if lower else None


def percent(upper: float, lower: float) -> float | None:
    return 100 * upper / lower if lower else None


def rows(page: Page, table: str) -> list[list[str]]:
    """The texts of a table's body and foot, row by row."""
    page.wait_for_selector(f"{table} tbody th")
    found: list[list[str]] = page.locator(f"{table} :is(tbody, tfoot) tr").evaluate_all(
        "rows => rows.map((row) => [...row.cells].map((cell) => cell.innerText))"
    )
    return found
