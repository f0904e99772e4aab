"""For those who set up senders: making links, and trying postbacks out before a partner sends one."""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import click
import httpx
from prometheus_client import CollectorRegistry

from collector.app import create_app
from collector.errors import FieldError
from collector.links import check_target, sign
from collector.partners import Partner
from collector.producer import MemoryProducer
from collector.settings import CollectorSettings
from collector.signing import sign_postback
from collector.touches import parameters
from deploy.settings import SettingsError
from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from schemas.metrics import CollectorMetrics

NOT_IN_LINKS = frozenset(("to", "sig", "exp", "link", "consent", "event_id", "visitor_id", "vid", "visitor"))
"""Parameters that a link does not carry: ours, and those that are of one visitor only."""


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """Return ``name=value`` texts as a mapping. Raises click.UsageError."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.UsageError(f"{text!r} is not name=value")
        found[name] = value
    return found


def link(
    settings: CollectorSettings, base: str, target: str, chosen: Mapping[str, str], expires: int = 0
) -> str:
    """Return the link that leads to ``target``: a URL, which is signed, or the name of a configured one.

    ``expires``: seconds since 1970, 0 for a link without an end. Raises click.UsageError, SettingsError.
    """
    unknown = next((name for name in chosen if name not in parameters() or name in NOT_IN_LINKS), None)
    if unknown is not None:
        raise click.UsageError(f"{unknown!r} is not a parameter of a link")
    if target in settings.links:
        if expires:
            raise click.UsageError("a configured link ends when it is taken out of the links file")
        query = urlencode(chosen, quote_via=quote)
        return f"{base}/c/{quote(target, safe='')}{'?' if query else ''}{query}"
    try:
        check_target(target, "target")
    except FieldError as error:
        raise click.UsageError(f"{error}; it is no configured link either") from None
    if not settings.link_keys:
        raise SettingsError("FUNNEL_LINK_KEYS", "without one no link can be signed")
    end = {"exp": str(expires)} if expires else {}
    signed = {"to": target, **end, "sig": sign(target, settings.link_keys[0], end.get("exp", "")), **chosen}
    return f"{base}/c?{urlencode(signed, quote_via=quote)}"


def partner_of(settings: CollectorSettings, name: str) -> Partner:
    """Return the partner ``name``. Raises click.UsageError."""
    if name not in settings.partners:
        known = ", ".join(sorted(settings.partners)) or "none: FUNNEL_PARTNERS_FILE names no partner"
        raise click.UsageError(f"{name!r} is not a partner; known: {known}")
    return settings.partners[name]


def template(partner: Partner, base: str) -> str:
    """Return the URL to hand to a partner: its parameters in braces, to be filled by its system."""
    query = "&".join(f"{quote(name, safe='')}={{{name}}}" for name in sorted(partner.parameters()))
    proof = "token={token}" if partner.tokens else "ts={unix time}&sig={signature}"
    return f"{base}/postback?partner={quote(partner.name, safe='')}&{query}&{proof}"


def signed_query(partner: Partner, query: str, now: float) -> str:
    """Return ``query`` with its signature under the partner's newest secret. ``now`` in seconds since 1970."""
    moment = str(int(now))
    signature = sign_postback(partner.secrets[-1], partner.name, moment, query.encode(), b"")
    return f"{query}&ts={moment}&sig={signature}"


def dry_run(
    settings: CollectorSettings, query: str, headers: Mapping[str, str], address: str
) -> tuple[httpx.Response, dict[str, Any]]:
    """Return what a collector with these settings answers to a postback, and what it would send to Kafka, by topic. Nothing is sent."""
    producer = MemoryProducer()
    metrics = CollectorMetrics.create(CollectorRegistry())
    app = create_app(settings, producer, metrics, lambda: time.time_ns() // 1_000_000)

    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            return await client.get(f"/postback?{query}", headers=dict(headers))

    answer = asyncio.run(call())
    sent: dict[str, Any] = {}
    for record in producer.records:
        schema_id = schema_id_of(record.value)
        assert schema_id is not None, "the collector frames its records"
        content = decode_body(schema_id, record.value)
        sent[record.topic] = {name: value for name, value in content.items() if value not in ("", None)}
    return answer, sent


def try_postback(
    settings: CollectorSettings,
    name: str,
    sent: Mapping[str, str],
    with_token: bool,
    address: str,
    base: str,
) -> bool:
    """Print what becomes of a postback of the partner ``name``, and return whether it is accepted.

    It is sent to the collector at ``base``, or where that is empty, to one in memory. Raises click.UsageError, httpx.HTTPError.
    """
    partner = partner_of(settings, name)
    if not (partner.tokens if with_token else partner.secrets):
        raise click.UsageError(
            f"{name!r} proves itself by {'token: --token' if partner.tokens else 'signature'}"
        )
    query = urlencode({"partner": name, **sent})
    headers: dict[str, str] = {}
    if with_token:
        # Not in the URL, as partners send it: URLs are printed and logged.
        headers["authorization"] = f"Bearer {partner.tokens[-1]}"
    else:
        query = signed_query(partner, query, time.time())
    kept: dict[str, Any] = {}
    if base:
        answer = httpx.get(f"{base}/postback?{query}", headers=headers, trust_env=False)
    else:
        answer, kept = dry_run(settings, query, headers, address)
    click.echo(f"GET /postback?{query}")
    click.echo(f"{answer.status_code} {json.dumps(answer.json(), ensure_ascii=False)}")
    for topic, content in kept.items():
        click.echo(f"{topic}: {json.dumps(content, ensure_ascii=False)}")
    return answer.status_code == httpx.codes.OK
