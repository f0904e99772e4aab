"""Requests that nobody should send, by the hundred thousand: every one is answered, none with 5xx, nothing acknowledged is missing.

``python -m benchmarks.fuzz [--requests N] [--seed N]`` prints one JSON line. A collector of its own, behind it an embedded broker, gets requests
out of a grammar of mistakes over connections that are kept: parameters, headers, cookies and bodies that are wrong, too long, too deep, compressed
bombs, other people's signatures, and now and then bytes that are no HTTP at all. ``verified``: as many answers as requests, as many counted by the
collector as answered by it, no 5xx, no traceback in its log, and every acknowledged id in Kafka.
"""

import argparse
import asyncio
import gzip
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from prometheus_client.parser import text_string_to_metric_families

from collector.server import HEAD_BYTES
from deploy.embedded.stack import Stack
from deploy.initialise import initialise
from deploy.settings import read_settings
from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from simulator.kafka import read_log

CONNECTIONS = 8
PATHS = (
    "/i.gif",
    "/c",
    "/c/home",
    "/c/%00",
    "/lead",
    "/postback",
    "/events",
    "/healthz",
    "/readyz",
    "/openapi.json",
)
STRANGE_PATHS = (
    "/",
    "/..%2f..%2fetc/passwd",
    "/c//evil.example",
    "/c/home/../x",
    "/%ff",
    "/events/",
    "/I.GIF",
    "/c/" + "a" * 3000,
)
METHODS = ("GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "BREW")
NAMES = (
    *(
        "campaign",
        "affiliate",
        "sub1",
        "utm_source",
        "visitor",
        "vid",
        "event_id",
        "click_id",
        "lead_id",
        "consent",
    ),
    *(
        "to",
        "sig",
        "link",
        "url",
        "ref",
        "gclid",
        "email",
        "phone",
        "value",
        "currency",
        "partner",
        "transaction_id",
    ),
    *("status", "ts", "token", "occurred_at", "kind", "events", "__proto__", "", "a[b]", "campaign%00"),
)
VALUES = (
    *(
        "",
        "x",
        "0",
        "-1",
        "1e400",
        "NaN",
        "null",
        "true",
        "[]",
        "{}",
        "ä",
        "\u202e",
        "\ud800",
        "\x00",
        "\r\nset-cookie: a=b",
    ),
    *(
        "home",
        "northnet",
        "approved",
        "EUR",
        "12.50",
        "granted",
        "denied",
        "2026-01-01T00:00:00Z",
        "9" * 400,
        "99999999999999999999",
    ),
    *(
        "https://evil.example/",
        "//evil.example",
        "javascript:alert(1)",
        "https://example.com@evil.example/",
        "http://[::1",
        "%",
    ),
    *(
        "jane@mail.example",
        "+49 170 1234567",
        "203.0.113.77",
        "'; DROP TABLE journal; --",
        "{{7*7}}",
        "${jndi:ldap://x}",
        "../../etc/passwd",
    ),
    *(
        "a" * 257,
        "a" * 5000,
        "00000000-0000-4000-8000-000000000000",
        "not-a-uuid",
        "{click_id}",
        "%2525",
        "abcd" + "e" * 26,
    ),
)
TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain",
    "multipart/form-data; boundary=x",
    "",
    "application/json; charset=utf-16",
)


class Request(NamedTuple):
    """Bytes to send; ``is_http``: they are one whole request, and one answer is due."""

    payload: bytes
    is_http: bool
    method: str = ""


class Answer(NamedTuple):
    """Status and the acknowledged id, empty if there is none."""

    status: int
    event_id: str


def main() -> None:
    """Run and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="funnel-fuzz-") as directory:
        result = fuzz(Path(directory), arguments.requests, arguments.seed)
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def fuzz(directory: Path, requests: int, seed: int) -> dict[str, Any]:
    """Send ``requests`` and return what came of them."""
    stack = Stack(directory, {})
    try:
        stack.start_servers()
        values = read_settings(stack.settings())
        list(initialise(values))
        collector = stack.start_collector()
        host, _, port = stack.collector_url.removeprefix("http://").partition(":")
        # Looks of whoever waited for it to be ready are counted, too.
        before = counted(collector.metrics)
        answers = asyncio.run(send_all(host, int(port), values["tokens"][0], requests, seed))
        after = counted(collector.metrics)
        acknowledged = {answer.event_id for answer in answers if answer.event_id}
        missing = acknowledged - ids_in_kafka(values["kafka"])
        log = (directory / "logs" / "collector.log").read_text()
    finally:
        stack.stop()
    return figures(seed, requests, answers, after - before, len(acknowledged), len(missing), log)


def figures(
    seed: int, requests: int, answers: Sequence[Answer], own: int, acknowledged: int, missing: int, log: str
) -> dict[str, Any]:
    """Return the line."""
    statuses = Counter(answer.status for answer in answers)
    failed = sum(count for status, count in statuses.items() if status >= 500)
    return {
        "benchmark": "fuzz",
        "seed": seed,
        "requests": requests,
        "answers": dict(sorted((str(status), count) for status, count in statuses.items())),
        "counted_by_the_collector": own,
        "acknowledged": acknowledged,
        "missing_in_kafka": missing,
        "tracebacks": log.count("Traceback"),
        "verified": len(answers) == own == requests and not failed and not missing and "Traceback" not in log,
    }


def counted(metrics: str) -> int:
    """Return how many answers the collector has counted."""
    families = text_string_to_metric_families(httpx.get(metrics, trust_env=False).text)
    samples = [sample for family in families for sample in family.samples]
    return int(sum(sample.value for sample in samples if sample.name == "funnel_collector_answers_total"))


def ids_in_kafka(bootstrap: str) -> set[str]:
    """Return the ids of all events in Kafka."""
    log = read_log(bootstrap)
    values = [record.value or b"" for span in log.lines.values() for record in span.records]
    return {str(decode_body(schema_id_of(value) or 0, value)["event_id"]) for value in values}


async def send_all(host: str, port: int, token: str, requests: int, seed: int) -> list[Answer]:
    """Send ``requests`` over some connections and return the answers."""
    shares = [requests // CONNECTIONS + (number < requests % CONNECTIONS) for number in range(CONNECTIONS)]
    senders = [
        Connection(host, port, Grammar(random.Random(f"{seed} {number}"), token)).run(share)
        for number, share in enumerate(shares)
    ]
    return [answer for answers in await asyncio.gather(*senders) for answer in answers]


class Connection:
    """One connection after another, a request after the answer to the one before."""

    def __init__(self, host: str, port: int, grammar: "Grammar") -> None:
        self._address = host, port
        self._grammar = grammar
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, requests: int) -> list[Answer]:
        """Send so many requests, and some noise beside them; return their answers."""
        answers: list[Answer] = []
        while len(answers) < requests:
            request = self._grammar.request()
            is_kept = self._streams is not None
            answer = await self._exchange(request)
            if answer is None and request.is_http and is_kept:
                # The server may let go of a kept connection at any time; then, like any client, once more over a new one.
                answer = await self._exchange(request)
            if request.is_http:
                assert answer is not None, f"no answer to {request.payload[:300]!r}"
                answers.append(answer)
        await self._close()
        return answers

    async def _exchange(self, request: Request) -> Answer | None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        try:
            writer.write(request.payload)
            await writer.drain()
            if not request.is_http:
                writer.write_eof()
            async with asyncio.timeout(30):
                answer, stays = await read_answer(reader, request.method)
        except (OSError, EOFError):
            answer, stays = None, False
        if not stays or not request.is_http:
            await self._close()
        return answer

    async def _close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_answer(reader: asyncio.StreamReader, method: str) -> tuple[Answer, bool]:
    """Return the answer, and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    if method != "HEAD":
        await reader.readexactly(int(headers.get("content-length", "0")))
    answer = Answer(int(head[0].split()[1]), headers.get("x-funnel-event-id", ""))
    return answer, headers.get("connection", "").lower() != "close"


class Grammar:
    """Makes requests up. Most are right in most parts, so that they get far."""

    def __init__(self, chance: random.Random, token: str) -> None:
        self._chance = chance
        self._token = token

    def request(self) -> Request:
        """Return the next one."""
        chance = self._chance
        if chance.random() < 0.01:
            return Request(
                bytes(chance.randrange(256) for _ in range(chance.randrange(1, 300))) + b"\r\n\r\n", False
            )
        path = chance.choice(PATHS if chance.random() < 0.95 else STRANGE_PATHS)
        method = self._method(path)
        body = self._body(path) if method in ("POST", "PUT", "PATCH") else b""
        headers = self._headers(path, body)
        query = self._query() if chance.random() < 0.9 else ""
        head = [f"{method} {path}{'?' if query else ''}{query} HTTP/1.1", "host: collector", *headers]
        whole = "\r\n".join([*head, "", ""]).encode("latin-1")
        # Larger heads are the server's to refuse, and it does not always wait for their end.
        return Request(whole + body, len(whole) < HEAD_BYTES, method)

    def _method(self, path: str) -> str:
        if self._chance.random() < 0.05:
            return self._chance.choice(METHODS)
        if path in ("/lead", "/events"):
            return "POST"
        return self._chance.choice(("GET", "POST")) if path == "/postback" else "GET"

    def _pairs(self) -> list[tuple[str, str]]:
        chance = self._chance
        return [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.randrange(8))]

    def _query(self) -> str:
        chance = self._chance
        if chance.random() < 0.05:
            return quote(bytes(chance.randrange(256) for _ in range(60)), safe="%&=+;?/")
        return "&".join(
            f"{name}={quote(value, safe=chance.choice(('', '/:@')), errors='surrogatepass')}"
            for name, value in self._pairs()
        )

    def _headers(self, path: str, body: bytes) -> list[str]:
        chance = self._chance
        headers = [f"content-length: {len(body)}"] if body or chance.random() < 0.2 else []
        if path == "/events" and chance.random() < 0.9:
            headers.append(f"authorization: Bearer {self._token if chance.random() < 0.9 else 'wrong'}")
        if body:
            kind = TYPES[path != "/events"] if chance.random() < 0.7 else chance.choice(TYPES)
            headers.append(f"content-type: {kind}")
        if body[:2] == b"\x1f\x8b" or chance.random() < 0.02:
            headers.append(
                f"content-encoding: {chance.choice(('gzip', 'gzip', 'br', 'deflate', 'identity'))}"
            )
        for name in (
            "cookie",
            "referer",
            "user-agent",
            "x-forwarded-for",
            "dnt",
            "x-funnel-signature",
            "origin",
        ):
            if chance.random() < 0.15:
                headers.append(f"{name}: {self._header_value()}")
        return headers

    def _header_value(self) -> str:
        value = self._chance.choice(("fv=", "", "t=1,v1=")) + self._chance.choice(VALUES)
        return "".join(character for character in value if character.isprintable() and ord(character) < 256)

    def _body(self, path: str) -> bytes:
        chance = self._chance
        roll = chance.random()
        if roll < 0.02:
            return b"[" * chance.choice((10, 1000, 60_000))
        if roll < 0.04:
            return bytes(chance.randrange(256) for _ in range(chance.randrange(1, 400)))
        if roll < 0.05:
            return b"x" * chance.choice((70_000, (1 << 20) + 1))
        body = self._json(path) if path == "/events" or chance.random() < 0.3 else self._query().encode()
        if roll < 0.15 and body:
            place = chance.randrange(len(body))
            body = body[:place] + bytes([chance.randrange(256)]) + body[place + 1 :]
        if roll > 0.95:
            body = gzip.compress(b" " * 5_000_000 if roll > 0.995 else body)
        return body

    def _json(self, path: str) -> bytes:
        chance = self._chance
        if path != "/events":
            return json.dumps({name: self._value(value) for name, value in self._pairs()}).encode()
        items: list[Any] = [self._item() for _ in range(chance.randrange(1, 4))]
        if chance.random() < 0.05:
            items.append(chance.choice((None, 7, "x", [], {})))
        return json.dumps(items if chance.random() < 0.5 else {"events": items}).encode()

    def _item(self) -> dict[str, Any]:
        kind = self._chance.choice(("impression", "click", "lead", "conversion", "sale"))
        item: dict[str, Any] = {"kind": kind}
        if kind == "conversion":
            item |= {
                "partner": "northnet",
                "transaction_id": self._chance.choice(VALUES),
                "status": "approved",
            }
        if self._chance.random() < 0.6:
            item |= {name: self._value(value) for name, value in self._pairs()[:2]}
        return item

    def _value(self, value: str) -> Any:
        return self._chance.choice((value, value, value, 7, 1.5, None, True, [value], {"a": value}, 10**30))


if __name__ == "__main__":
    main()
