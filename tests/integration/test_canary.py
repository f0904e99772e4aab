"""P7: what identifies a person goes in by every door, and is nowhere afterwards: Kafka, ClickHouse, its files, logs, metrics.

Secrets are looked for in the logs and the metrics, too.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx
import pytest

from collector.signing import sign_postback
from deploy.embedded.stack import answers
from deploy.settings import clickhouse_settings
from simulator.kafka import read_log
from sinks.clickhouse.client import connect
from tests.support import Running, drain

EMAIL, PHONE, ADDRESS = "canary.jane@mail.example", "+491701234567", "203.0.113.77"
PERSON = (EMAIL, "canary.jane", PHONE, "1701234567", ADDRESS)
WORD = "canary-word-4711"
"""In a query parameter that nobody allowed."""
HEADERS = {
    "x-forwarded-for": ADDRESS,
    "referer": f"https://mail.example/read?to={EMAIL}&session={WORD}#{WORD}",
    "user-agent": f"Mailer ({EMAIL}; {PHONE}; {ADDRESS})",
}
PAGE = f"https://jane:{WORD}@shop.example/?mail={EMAIL}&phone={PHONE}&token={WORD}&utm_source=letter&sub1={EMAIL}"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "stack")
    try:
        running.start()
        yield running
    finally:
        running.stack.stop()


def send_by_every_door(client: httpx.Client, token: str, secret: str) -> None:
    free = {
        "url": PAGE,
        "ref": PAGE,
        "sub1": EMAIL,
        "sub2": PHONE,
        "utm_content": f"{ADDRESS} {EMAIL}",
        "gclid": EMAIL,
    }
    assert client.get("/i.gif", params=free).status_code == 200
    assert (
        client.get("/i.gif", params={"consent": "denied", **free}, headers={"sec-gpc": "1"}).status_code
        == 200
    )
    assert client.get("/c/home", params=free).status_code == 302
    form = {"email": EMAIL, "phone": PHONE, "name": EMAIL, "url": PAGE, "sub1": PHONE}
    assert client.post("/lead", data=form).status_code == 200
    assert client.post("/lead", json=form).status_code == 200
    item = {
        "kind": "lead",
        "email": EMAIL,
        "phone": PHONE,
        "ip": ADDRESS,
        "user_agent": EMAIL,
        "landing_url": PAGE,
    }
    batch = client.post(
        "/events", json=[item, item | {"kind": "click"}], headers={"authorization": f"Bearer {token}"}
    )
    assert batch.status_code == 207, "a click has no e-mail address"
    for sent in ({"sub1": EMAIL}, {"click_id": EMAIL}, {"unread": PHONE}):
        query = urlencode({"partner": "northnet", "transaction_id": "T-1", "status": "approved", **sent})
        at = str(int(time.time()))
        signature = sign_postback(secret, "northnet", at, query.encode(), b"")
        assert client.get(f"/postback?{query}&ts={at}&sig={signature}").status_code in (200, 400)
    # Mistakes are answered, and logged, without what was in them.
    for path in (f"/c/{quote(EMAIL)}", f"/{quote(EMAIL)}", f"/i.gif?visitor={EMAIL}", f"/lead?email={EMAIL}"):
        assert client.get(path).status_code in (400, 404, 405)
    assert client.post("/lead", content=f'{{"email": "{EMAIL}'.encode()).status_code in (400, 415)


def texts_of_clickhouse(running: Running) -> Iterator[tuple[str, bytes]]:
    """Every row of every table, as text; and what the engine keeps about queries."""
    connection = connect(clickhouse_settings(running.values))
    try:
        columns = connection.query(
            "SELECT table, groupArray(name) FROM system.columns WHERE database = currentDatabase() "
            "AND type NOT LIKE 'AggregateFunction%' AND table IN (SELECT name FROM system.tables "
            "WHERE database = currentDatabase() AND engine != 'View') GROUP BY table"
        )
        for table, names in columns:
            rows = connection.query(f"SELECT {', '.join(f'`{name}`' for name in names)} FROM `{table}`")
            yield f"table {table}", repr(rows).encode()
    finally:
        connection.close()


def texts_of_files(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name != "secrets.json" and path.name != "partners.json":
            yield str(path.relative_to(directory)), path.read_bytes()


def test_a_person_s_data_is_nowhere_afterwards(running: Running) -> None:
    stack = running.stack
    secrets = json.loads((stack.directory / "secrets.json").read_text())
    stack.start(
        "collector",
        "collector",
        lambda _: answers(f"{stack.collector_url}/readyz"),
        TRUSTED_PROXIES="127.0.0.0/8",
        PHONE_REGION="DE",
    )
    stack.start_worker()
    with httpx.Client(base_url=stack.collector_url, headers=HEADERS, trust_env=False, timeout=30) as client:
        send_by_every_door(client, secrets["token"], secrets["postback_secret"])
    drain(running.values)
    metrics = [(name, httpx.get(url, trust_env=False).content) for name, url in stack.metrics.items()]
    tables = list(texts_of_clickhouse(running))
    log = read_log(running.values["kafka"])
    records = [
        (f"{line} {record.offset}", (record.key or b"") + (record.value or b""))
        for line, span in log.lines.items()
        for record in span.records
    ]
    stack.stop()
    files = list(texts_of_files(stack.directory))
    assert len(records) > 10 and any(b"203.0.113.0" in text for _, text in records), "the canary was sent"
    assert any(b"203.0.113.0" in text for _, text in tables)
    for place, text in [*records, *tables, *files, *metrics]:
        for word in (*PERSON, WORD):
            for spelled in (word, quote(word, safe=""), word.encode().hex()):
                assert spelled.encode() not in text, f"{word} in {place}"
    for place, text in [*metrics, *((name, text) for name, text in files if name.startswith("logs"))]:
        for name, secret in secrets.items():
            assert secret.encode() not in text, f"{name} in {place}"
