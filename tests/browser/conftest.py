"""A stack, a demo shop on sites of its own, and a real browser."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from deploy.embedded.ports import free_port
from deploy.embedded.stack import Process, answers
from tests.browser.journey import reading
from tests.browser.shop_server import PARTNER, Shop, Site
from tests.support import Running

READY_SECONDS = 90.0
NEAR, FAR = "track.shop.localhost", "track.localhost"
LANDING = "/landing?campaign={campaign}&consent={sub1}&utm_source=daily&utm_medium=affiliate"
HANDED = "&funnel_visitor={visitor_id}"


@dataclass
class Demo:
    """Everything that runs: the stack with its ``values``, the collector's process, and where browsers find the pages.

    ``magazine`` and ``shop`` belong to one site, and so does the collector that they use. To ``ads`` and ``store`` theirs,
    ``far``, is another site: browsers withhold its cookies there.
    """

    values: dict[str, Any]
    process: Process
    ready_url: str
    magazine: str
    shop: str
    ads: str
    store: str
    far: str
    server: Shop

    def stop_collector(self) -> None:
        """Take the collector away."""
        self.process.child.stop()

    def start_collector(self) -> None:
        """Bring it back, under the same address."""
        self.process.child.start(lambda: answers(self.ready_url), READY_SECONDS)


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """One demo for all tests; each has a campaign of its own."""
    directory = tmp_path_factory.mktemp("demo")
    running = Running(directory / "stack")
    try:
        running.start()
        with _demo(running, directory / "links.json") as demo:
            yield demo
    finally:
        running.stack.stop()


@contextmanager
def _demo(running: Running, links: Path) -> Iterator[Demo]:
    stack, port = running.stack, free_port()
    near, far = (stack.collector_url.replace("127.0.0.1", host) for host in (NEAR, FAR))
    sites = {
        "magazine.shop.localhost": Site(near, "shop"),
        "shop.localhost": Site(near, "shop"),
        "ads.localhost": Site(far, "store"),
        "store.localhost": Site(far, "store"),
    }
    urls = [f"http://{host}:{port}" for host in sites]
    landings = {"shop": urls[1] + LANDING, "bare": urls[3] + LANDING, "store": urls[3] + LANDING + HANDED}
    links.write_text(json.dumps(landings))
    partners = links.with_name("partners.json")
    partners.write_text(json.dumps({"shop": PARTNER}))
    ready_url = f"{stack.collector_url}/readyz"
    process = stack.start(
        "collector",
        "collector",
        lambda _: answers(ready_url),
        ORIGINS=",".join(urls),
        LINKS_FILE=str(links),
        PARTNERS_FILE=str(partners),
        COOKIE_SECURE="1",
    )
    stack.start_worker()
    with reading(running.values), Shop(port, sites, stack.collector_url) as server:
        yield Demo(running.values, process, ready_url, *urls, far, server)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "these tests need Chromium (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """A browser of its own, with what its consoles said: errors, and what a content security policy forbade, are among it."""

    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def stored(self) -> dict[str, str]:
        """Return the page's localStorage."""
        stored: dict[str, str] = self.page.evaluate("() => ({...localStorage})")
        return stored

    def memory(self) -> dict[str, Any]:
        """Return what the snippet has stored."""
        memory: dict[str, Any] = json.loads(self.stored().get("funnel", "{}"))
        return memory


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Somebody nobody knows."""
    with visiting(browser) as visitor:
        yield visitor


@contextmanager
def visiting(browser: Browser, **options: Any) -> Iterator[Visitor]:
    """A visitor whose browser has these options."""
    context = browser.new_context(**options)
    visitor = Visitor(context, context.new_page())
    context.on("console", lambda message: visitor.complaints.append(message.text))
    context.on("weberror", lambda error: visitor.complaints.append(str(error.error)))
    try:
        yield visitor
    finally:
        context.close()
