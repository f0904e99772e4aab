"""Everything that reads what callers send, over whatever bytes: a value or one of our errors, nothing else."""

import asyncio
import gzip
import json
from ipaddress import ip_network
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from collector.batch import parse_batch
from collector.errors import FieldError, Refusal
from collector.items import read_item
from collector.minting import Minter
from collector.postback import describe
from collector.privacy import Privacy, hash_email, hash_phone, recorded_url, scrub, truncate_ip
from collector.request import Request, client_address, client_network, read_body, read_cookie, read_query
from collector.signing import read_signature_header, signed_part
from collector.text import RULES, browser_url, clean, printable, user_agent
from collector.touches import parameters
from tests.unit.collector.support import NOW

RAW = st.binary(max_size=300)
SEPARATED = st.text(alphabet="a=&;,%+:/?#@.[]{}\"'\\\r\n\t 09fF\x00\x7fé\ud800", max_size=80)
PRIVACY = Privacy("key", "DE", frozenset(("a",)))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | SEPARATED,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SEPARATED, inner, max_size=4),
    max_leaves=12,
)


def request(headers: list[tuple[bytes, bytes]], body: bytes = b"", cut: int = 0) -> Request:
    parts = [
        {"type": "http.request", "body": body[:cut], "more_body": True},
        {"type": "http.request", "body": body[cut:], "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return parts.pop(0) if parts else {"type": "http.disconnect"}

    return Request(b"", headers, dict(headers), "10.0.0.1", receive, NOW)  # type: ignore[arg-type]


@given(RAW | SEPARATED.map(lambda text: text.encode(errors="surrogatepass")))
def test_a_query(raw: bytes) -> None:
    try:
        found = read_query(raw, parameters())
    except FieldError:
        return
    assert set(found) <= set(parameters().values())
    assert all(value.encode() for value in found.values())


@given(RAW, st.sampled_from(["fv", "a"]))
def test_a_cookie(raw: bytes, name: str) -> None:
    assert isinstance(read_cookie(request([(b"cookie", raw)]), name), str)


@given(st.lists(RAW | st.sampled_from([b"10.0.0.2", b"203.0.113.9, 10.0.0.3", b"::1"]), max_size=3))
def test_forwarded_addresses(values: list[bytes]) -> None:
    forwarded = request([(b"x-forwarded-for", value) for value in values])
    trusted = (ip_network("10.0.0.0/8"),)
    assert isinstance(client_address(forwarded, trusted), str)
    network = client_network(forwarded, trusted)
    assert network == truncate_ip(network)


@given(RAW | JSON.map(lambda content: json.dumps(content).encode()), st.integers(1, 5))
def test_a_batch(body: bytes, most: int) -> None:
    try:
        items = parse_batch(body, most)
    except FieldError:
        return
    assert 0 < len(items) <= most


@given(
    st.dictionaries(
        st.sampled_from(["kind", "event_id", "occurred_at", "value", "currency", "status"]) | SEPARATED, JSON
    )
)
def test_an_item(item: dict[str, Any]) -> None:
    for kind in ("impression", "click", "lead", "conversion"):
        try:
            event = read_item(item | {"kind": kind}, NOW, PRIVACY, Minter())
        except FieldError:
            continue
        assert event.kind == kind


@given(RAW, st.booleans(), st.integers(0, 300), st.integers(1, 200))
def test_a_body(body: bytes, packed: bool, cut: int, limit: int) -> None:
    sent = gzip.compress(body) if packed else body
    headers = [(b"content-encoding", b"gzip")] if packed else []
    try:
        read = asyncio.run(read_body(request(headers, sent, cut), limit))
    except Refusal as refusal:
        assert refusal.status == 413 and max(len(body), len(sent)) > limit
    else:
        assert read == body


@settings(deadline=None)
@given(RAW, st.integers(0, 50))
def test_a_body_that_says_it_is_compressed(body: bytes, cut: int) -> None:
    try:
        asyncio.run(read_body(request([(b"content-encoding", b"gzip")], body, cut), 1000))
    except (Refusal, FieldError) as error:
        assert error.field in ("body", "content-encoding")


@given(SEPARATED, RAW)
def test_a_signature(value: str, query: bytes) -> None:
    moment, signature = read_signature_header(value)
    assert isinstance(moment, str) and isinstance(signature, str)
    assert signed_part(signed_part(query)) == signed_part(query)


@given(SEPARATED)
def test_text(value: str) -> None:
    for name in RULES:
        try:
            assert clean(name, value).encode()
        except FieldError as error:
            assert error.field == name
        except AssertionError:
            assert value == ""
    for made_to_fit in (user_agent(value), browser_url(value, frozenset("a")), printable(value)):
        assert made_to_fit.encode() == made_to_fit.encode(errors="ignore")
    assert scrub(scrub(value)) == scrub(value)
    assert isinstance(recorded_url(value, frozenset("a")), str)


@given(SEPARATED)
def test_what_names_a_person(value: str) -> None:
    for name, hashed in (
        ("email", lambda: hash_email(value, "key")),
        ("phone", lambda: hash_phone(value, PRIVACY)),
    ):
        try:
            assert len(hashed()) == 64
        except FieldError as error:
            assert error.field == name


@given(st.dictionaries(SEPARATED, SEPARATED, max_size=5))
def test_what_a_postback_s_row_says(sent: dict[str, str]) -> None:
    text = describe(sent, None)
    assert len(text.encode()) <= 4096
    assert len(text.splitlines()) <= len(sent)
