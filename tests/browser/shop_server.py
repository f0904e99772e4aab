"""A small demo shop and the papers that show its ads: pages with the snippet, each host with a collector of its own choice."""

import hashlib
import hmac
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx

PAGES = Path(__file__).with_name("shop")
TYPES = {".js": "text/javascript", ".css": "text/css"}
SECRET = "a-secret-of-the-demo-shop"
PARTNER = {
    "fields": {
        "transaction_id": "{order}",
        "status": "{state}",
        "value": "{sum}",
        "currency": "EUR",
        "click_id": "{click}",
    },
    "statuses": {"paid": "approved"},
    "secrets": [SECRET],
}
"""What the collector knows of the shop."""
POLICY = (
    "default-src 'none'; script-src 'self' {collector}; connect-src {collector}; style-src 'self'; img-src data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


class Answer(NamedTuple):
    """What the shop answers."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


class Site(NamedTuple):
    """What the pages of a host use: the collector's address as browsers know it, and the link of their ads."""

    collector: str
    link: str


class Shop:
    """Serves ``sites``, by host, while it is entered; reports orders to the ``collector`` at this address, signed."""

    def __init__(self, port: int, sites: Mapping[str, Site], collector: str) -> None:
        self.sites, self.collector = sites, collector
        self.posted: list[tuple[str, dict[str, str]]] = []
        self.orders = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, host: str, target: str) -> Answer:
        """Answer a page, or a file of the pages; with consent, the click that led to one is remembered in the shop's own cookie."""
        url = urlsplit(target)
        file = PAGES / url.path.lstrip("/")
        if file.suffix in TYPES:
            return Answer(200, {"Content-Type": TYPES[file.suffix]}, file.read_bytes())
        query = {name: value for name, [value, *_] in parse_qs(url.query).items()}
        page = PAGES / f"{url.path.lstrip('/')}.html"
        if not page.is_file():
            return Answer(404, {})
        text = Template(page.read_text()).substitute(
            consent=query.get("consent", ""), campaign=query.get("campaign", ""), **self.sites[host]._asdict()
        )
        headers = {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Security-Policy": POLICY.format(collector=self.sites[host].collector),
        }
        if "funnel_click" in query and query.get("consent") == "granted":
            headers["Set-Cookie"] = f"click={query['funnel_click']}; HttpOnly; SameSite=Lax"
        return Answer(200, headers, text.encode())

    def post(self, path: str, fields: dict[str, str], click_id: str) -> Answer:
        """Take a form; an order is a conversion, which the shop's server reports with the click it remembers."""
        self.posted.append((path, fields))
        if path == "/order":
            self._report(click_id)
        return Answer(303, {"Location": "/thanks"})

    def _report(self, click_id: str) -> None:
        self.orders += 1
        order = {
            "partner": "shop",
            "order": f"order-{self.orders}",
            "state": "paid",
            "sum": "59.90",
            "click": click_id,
        }
        query, at = urlencode(order), str(int(time.time()))
        text = f"funnel-postback-v1\nshop\n{at}\n{query}\n"
        signature = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
        url = f"{self.collector}/postback?{query}&ts={at}&sig={signature}"
        httpx.get(url, trust_env=False).raise_for_status()


def _handler(shop: Shop) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(shop.get(self.headers["Host"].partition(":")[0], self.path))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            fields = {name: value for name, [value, *_] in parse_qs(body).items()}
            click = (self.headers.get("Cookie") or "").partition("click=")[2].partition(";")[0]
            self._send(shop.post(self.path, fields, click))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """The test says what happened."""

    return Handler
