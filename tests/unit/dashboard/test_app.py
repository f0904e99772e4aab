"""The page's endpoints: who is let in, what is refused, and what every answer says to browsers."""

import asyncio
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

import pytest
from prometheus_client import CollectorRegistry

from dashboard import app as module
from dashboard.app import create_app
from dashboard.assets import Asset
from dashboard.export import cell
from dashboard.filters import Filters
from dashboard.http import dumps
from dashboard.reading import Reading
from dashboard.settings import DashboardSettings
from schemas.metrics import DashboardMetrics
from sinks.clickhouse.errors import Unavailable

HOSTILE = "</script><img src=x onerror=alert(1)>"
ROW = (HOSTILE, 10, 5, 2, 1.0, 7_500_000, 500_000, [])


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Told:
    """Stands in for ClickHouse: says what it is told to."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.away = False

    def now(self) -> float:
        return 1_760_000_000.0

    def overview(self, filters: Filters) -> Any:
        if self.away:
            raise Unavailable(0, "127.0.0.1: secret detail")
        return {"campaign": filters.dimensions.get("campaign"), "tops": [ROW]}

    def details(self, _: Filters) -> Any:
        return {}

    def explain(self, identifier: str) -> Any:
        if self.away:
            raise Unavailable(0, "127.0.0.1: secret detail")
        self.asked = identifier
        known = (
            []
            if identifier == "unknown"
            else [{"campaign": HOSTILE, "occurred_at": datetime(2026, 1, 31, tzinfo=UTC)}]
        )
        return {"id": identifier, "touches": known, "transactions": [], "rejects": []}

    def top_rows(self, _: Filters) -> Any:
        return "EUR", [ROW]


class Site:
    def __init__(self, **settings: Any) -> None:
        self.told = Told()
        self.stopping = asyncio.Event()
        self.registry = CollectorRegistry()
        metrics = DashboardMetrics.create(self.registry)
        self.app = create_app(DashboardSettings(**settings), cast(Reading, self.told), self.stopping, metrics)

    def ask(
        self,
        path: str,
        host: str = "127.0.0.1:8090",
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        cookie: str = "",
    ) -> Answered:
        sent: list[Any] = []
        path, _, text = path.partition("?")
        headers = [(b"host", host.encode()), (b"cookie", cookie.encode())]
        scope = {
            "type": "http",
            "path": path,
            "method": method,
            "query_string": text.encode(),
            "headers": headers,
        }

        async def receive() -> Any:
            return {"type": "http.request", "body": urlencode(form or {}).encode()}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        got = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answered(sent[0]["status"], got, sent[1]["body"].decode())


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    # Compressing the chart library for every test takes long.
    monkeypatch.setattr(module.assets, "load", lambda: {"app.css": Asset(b"", "text/css", "t")})


def test_every_answer_forbids_inline_code() -> None:
    site = Site()
    for path in ("/", "/api/overview", "/static/app.css", "/nothing", "/healthz"):
        policy = site.ask(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy


def test_hostile_names_cannot_end_the_data_in_the_page() -> None:
    body = Site().ask("/").body
    assert HOSTILE not in body
    assert dumps(HOSTILE) in body
    assert body.count("</script>") == 2


def test_a_filter_that_is_none_is_named() -> None:
    answer = Site().ask("/api/overview?range=2y")
    assert (answer.status, '"field":"range"' in answer.body) == (400, True)


def test_clickhouse_away_is_said_without_details() -> None:
    site = Site()
    site.told.away = True
    answer = site.ask("/api/overview")
    assert answer.status == 503
    assert "secret" not in answer.body
    assert "ClickHouse does not answer" in site.ask("/").body


def test_answers_and_questions_are_counted_under_names_of_ours() -> None:
    site = Site()
    for path in ("/", "/api/overview", "/static/app.css", "/chosen-by-the-caller"):
        site.ask(path)
    site.told.away = True
    site.ask("/api/overview")

    def counted(name: str, **labels: str) -> float:
        return site.registry.get_sample_value(name, labels) or 0.0

    answers = {
        (sample.labels["endpoint"], sample.labels["status"])
        for family in site.registry.collect()
        for sample in family.samples
        if sample.name == "funnel_dashboard_answers_total"
    }
    assert answers == {
        ("page", "200"),
        ("overview", "200"),
        ("overview", "503"),
        ("static", "200"),
        ("", "404"),
    }
    assert counted("funnel_dashboard_question_seconds_count", question="overview") == 3
    assert counted("funnel_dashboard_failed_questions_total", question="overview") == 1


def test_export() -> None:
    answer = Site().ask("/export.csv?table=top&top=affiliate")
    assert answer.headers["content-disposition"] == 'attachment; filename="funnel-affiliate.csv"'
    names, row = answer.body.splitlines()
    assert names == "affiliate,impressions,clicks,leads,conversions,revenue,payout,currency"
    assert row == f"{HOSTILE},10,5,2,1,7.500000,0.500000,EUR"
    assert [cell(text) for text in ("=1+1", "@x", "-2", "plain")] == ["'=1+1", "'@x", "'-2", "plain"]


def test_without_a_login_only_names_of_this_machine_are_answered() -> None:
    site = Site()
    assert site.ask("/api/overview", host="evil.example:8090").status == 421
    for host in ("localhost:8090", "[::1]:8090", "page.localhost", "127.0.0.1"):
        assert site.ask("/api/overview", host=host).status == 200


def test_other_addresses_need_a_password() -> None:
    with pytest.raises(ValueError, match="password"):
        DashboardSettings(host="0.0.0.0")


def test_login() -> None:
    site = Site(host="0.0.0.0", password="correct horse")
    for path in ("/api/overview", "/api/details", "/api/explain/x", "/events", "/export.csv"):
        assert site.ask(path, host="numbers.example").status == 401
    assert "overview" not in site.ask("/", host="numbers.example").body
    assert site.ask("/login", method="POST", form={"password": "wrong"}).status == 403
    answer = site.ask("/login", method="POST", form={"password": "correct horse"})
    assert answer.status == 303
    cookie = answer.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure"))
    assert site.ask("/api/overview", host="numbers.example", cookie=cookie.partition(";")[0]).status == 200
    assert "correct horse" not in repr(site.app) + repr(DashboardSettings(password="correct horse"))


def test_guessing_is_slowed_down() -> None:
    site = Site(password="correct horse")
    statuses = [site.ask("/login", method="POST", form={"password": str(n)}).status for n in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert site.ask("/login", method="POST", form={"password": "correct horse"}).status == 429


def test_changes_are_sent_once_and_again_after_an_interruption() -> None:
    """Nothing new: nothing is sent. ClickHouse goes away and comes back: that is said, and then all of it again."""
    site = Site(refresh_seconds=0.001)
    events: list[str] = []

    async def look() -> None:
        left = asyncio.Event()

        async def receive() -> Any:
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            text = message.get("body", b"").decode()
            events.extend(line[7:] for line in text.splitlines() if line.startswith("event: "))
            if len(events) == 2:
                site.told.away = True
            if len(events) == 3:
                site.told.away = False
            if len(events) == 4:
                left.set()

        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "path": "/events", "method": "GET", "query_string": b"", "headers": headers}
        await asyncio.wait_for(site.app(scope, receive, send), 60)

    asyncio.run(look())
    assert events == ["overview", "details", "away", "overview"]


def test_only_so_many_pages_are_kept_up_to_date() -> None:
    site = Site(most_streams=0)
    assert site.ask("/events").status == 503


def test_a_server_that_stops_ends_its_streams() -> None:
    site = Site(refresh_seconds=60)

    async def look() -> None:
        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            if b"details" in message.get("body", b""):
                site.stopping.set()

        headers = [(b"host", b"localhost")]
        scope = {"type": "http", "path": "/events", "method": "GET", "query_string": b"", "headers": headers}
        # As long as the stream would otherwise sleep.
        await asyncio.wait_for(site.app(scope, receive, send), 30)

    asyncio.run(look())


def test_the_story_of_an_id_is_json_that_cannot_become_markup() -> None:
    site = Site()
    answer = site.ask("/api/explain/a/b' OR 1=1 --")
    assert (answer.status, site.told.asked) == (200, "a/b' OR 1=1 --")
    assert HOSTILE not in answer.body
    [touch] = json.loads(answer.body)["touches"]
    assert touch == {"campaign": HOSTILE, "occurred_at": "2026-01-31T00:00:00.000+00:00"}


@pytest.mark.parametrize("identifier", ["", " ", "x" * 201, "a\0b", "\ud800"])
def test_an_id_that_none_can_be_is_refused_by_name(identifier: str) -> None:
    answer = Site().ask(f"/api/explain/{identifier}")
    assert (answer.status, json.loads(answer.body)["field"]) == (400, "id")


def test_an_unknown_id_and_a_silent_clickhouse_are_two_things() -> None:
    site = Site()
    assert site.ask("/api/explain/unknown").status == 404
    site.told.away = True
    answer = site.ask("/api/explain/unknown")
    assert (answer.status, "secret" in answer.body) == (503, False)
