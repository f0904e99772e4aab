"""Items as the collector takes them: entries of a batch, pixel hits and redirects (docs/sending.md)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlencode

from simulator.items import Item

_NOT_SENT = frozenset(("received_at",))
_MICROS = ("value", "payout")
POSTBACK_FIELDS = (
    *("transaction_id", "status", "click_id", "lead_id", "visitor_id", "goal", "value", "payout", "currency"),
    *("occurred_at", "status_at", "campaign", "affiliate", "offer", "creative"),
)
"""What a simulated partner reports, under these names."""
_DIMENSIONS = (
    "campaign",
    "affiliate",
    "offer",
    "creative",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "sub1",
    "sub2",
    "visitor_id",
    "event_id",
)


class Hit(NamedTuple):
    """A GET request: path, query and headers."""

    path: str
    parameters: Mapping[str, str]
    headers: Mapping[str, str]


def batch_entry(item: Item) -> dict[str, Any]:
    """Return ``item`` as an entry of ``POST /events``: what is empty is left out, money is in micros, times in ms."""
    entry: dict[str, Any] = {"kind": item.kind}
    for name, value in item.record.items():
        if name in _NOT_SENT or value is None or value == "":
            continue
        entry[f"{name}_micros" if name in _MICROS else name] = value
    return entry


def hit(item: Item, link_key: str) -> Hit | None:
    """Return ``item`` as the request of a browser, None if it has no such form.

    Its time is then that of the request; so an item that must be the same as another one has no such form either.
    """
    if item.kind not in ("impression", "click") or item.mess or item.has_twin or item.direct is not None:
        return None
    record = item.record
    parameters = {name: record[name] for name in _DIMENSIONS if record[name]}
    headers = {"user-agent": record["user_agent"], "referer": record["referrer"]}
    headers = {name: value for name, value in headers.items() if value}
    if item.kind == "impression":
        return Hit("/i.gif", parameters | {"url": record["landing_url"]}, headers)
    target = record["landing_url"]
    parameters |= {"click_id": record["click_id"], "to": target, "sig": signature(target, link_key)}
    if record["external_id"]:
        parameters["external_id"] = record["external_id"]
    return Hit("/c", parameters, headers)


def postback(item: Item, secrets: Mapping[str, str], now: float) -> Hit | None:
    """Return ``item`` as the call of its partner's server at ``now`` (seconds since 1970), None if it has no such form.

    ``secrets``: by partner. Its event's id is then the one that follows from partner, transaction, status and its time.
    """
    record = item.record
    if item.kind != "conversion" or item.mess or item.has_twin or item.direct is not None:
        return None
    if record["partner"] not in secrets:
        return None
    sent = {"partner": record["partner"]}
    for name in POSTBACK_FIELDS:
        if record[name] not in ("", None):
            sent[name] = str(Decimal(record[name]) / 1_000_000) if name in _MICROS else str(record[name])
    query, at = urlencode(sent), str(int(now))
    text = f"funnel-postback-v1\n{sent['partner']}\n{at}\n{query}\n"
    proof = hmac.new(secrets[sent["partner"]].encode(), text.encode(), hashlib.sha256).hexdigest()
    return Hit("/postback", {**sent, "ts": at, "sig": proof}, {"user-agent": "northnet-postback/2.1"})


def signature(target: str, key: str) -> str:
    """Return the signature by which the collector knows a redirect's target as ours."""
    digest = hmac.new(key.encode(), f"funnel-link-v1\n{target}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
