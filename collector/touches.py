"""Impressions and clicks out of live requests, pixels and redirects."""

from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

from collector import text
from collector.context import Context
from collector.errors import FieldError
from collector.events import Event
from collector.links import with_parameters
from collector.minting import Minter
from collector.names import DIMENSIONS, UTM, ad_click_ids
from collector.privacy import scrub
from collector.request import Request, client_network, header, read_cookie, read_query
from schemas.ids import is_minted, route_of

COOKIE = "fv"
_OTHERS = (
    "event_id",
    "visitor_id",
    "site_visitor",
    "click_id",
    "external_id",
    "referrer",
    "landing_url",
    "consent",
    "to",
    "sig",
    "exp",
    "link",
)
_ALIASES = {"vid": "visitor_id", "visitor": "visitor_id", "ref": "referrer", "url": "landing_url"}
_OBJECTIONS = (b"sec-gpc", b"dnt")
_UTM_PARAMETERS = {name: name for name in UTM}


@cache
def parameters() -> Mapping[str, str]:
    """Return the query parameters that live endpoints know, and the field that each stands for."""
    return {name: name for name in (*DIMENSIONS, *_OTHERS, *ad_click_ids())} | _ALIASES


def impression(context: Context, request: Request, query: Mapping[str, str]) -> tuple[Event, bool]:
    """Return the impression that a pixel's request reports, and whether its visitor is new. Raises
    FieldError."""
    record, is_new = live_touch(context, request, query, query.get("landing_url", ""))
    return Event("impression", record), is_new


def click(context: Context, request: Request, query: Mapping[str, str], target: str) -> tuple[Event, bool]:
    """Return the click that a redirect to ``target`` reports, and whether its visitor is new. Raises
    FieldError."""
    record, is_new = live_touch(
        context,
        request,
        query,
        query.get("landing_url") or text.browser_url(target, context.privacy.query_parameters),
    )
    given = query.get("click_id")
    record["click_id"] = (
        text.clean("click_id", given) if given else context.minter.mint(route_of(record["visitor_id"]))
    )
    record["external_id"] = _external_id(query, record["landing_url"])
    return Event("click", record), is_new


def with_ad_click_ids(target: str, query: Mapping[str, str]) -> str:
    """Return ``target`` with the advertising click ids that came with the click, as the landing page expects
    them."""
    found = {name: quote(query[name], safe="") for name in ad_click_ids() if name in query}
    return with_parameters(target, found, replace=False) if found else target


def live_touch(
    context: Context, request: Request, query: Mapping[str, str], landing_url: str
) -> tuple[dict[str, Any], bool]:
    """Return what every touch of a live request has, and whether its visitor is new. Raises FieldError."""
    consent = text.consent(query.get("consent", ""))
    if _objects(request):
        consent = "denied"
    visitor_id, is_new = _visitor(context.minter, request, query, may_remember=consent != "denied")
    record: dict[str, Any] = {
        "received_at": request.received_at,
        "ip": client_network(request, context.trusted_proxies),
        "user_agent": text.user_agent(header(request, b"user-agent")),
        "event_id": text.event_id(query["event_id"]) if "event_id" in query else context.minter.event_id(),
        "occurred_at": request.received_at,
        "visitor_id": visitor_id,
        "referrer": _referrer(request, query, context.privacy.query_parameters),
        "landing_url": text.url("landing_url", landing_url, context.privacy.query_parameters)
        if landing_url
        else "",
        "consent": consent,
    }
    for name, value in query.items():
        if name in DIMENSIONS:
            record[name] = text.clean(name, value)
    if "utm_" in landing_url and not any(name in query for name in UTM):
        record |= _utm_of(record["landing_url"])
    return record, is_new


def _objects(request: Request) -> bool:
    """Whether the browser says that its user objects: Global Privacy Control or Do Not Track. It weighs more than what a page says."""
    headers = request.headers
    return any(headers[name].strip() == b"1" for name in _OBJECTIONS if name in headers)


def _visitor(
    minter: Minter, request: Request, query: Mapping[str, str], *, may_remember: bool
) -> tuple[str, bool]:
    """The visitor: the named one, the one remembered by the browser or by the page's site, a new one; and whether it
    is one to remember."""
    if "visitor_id" in query:
        return text.clean("visitor_id", query["visitor_id"]), False
    remembered = read_cookie(request, COOKIE) if may_remember else ""
    if is_minted(remembered):
        return remembered, False
    # Where browsers withhold our cookie, the site's own memory of its visitor still holds.
    known = query.get("site_visitor", "") if may_remember else ""
    if is_minted(known):
        return known, True
    # On the journey's route where a click says which it is: what is on another is not seen there.
    named = query.get("click_id", "")
    return minter.mint(route_of(named) if is_minted(named) else None), may_remember


def _referrer(request: Request, query: Mapping[str, str], kept: frozenset[str]) -> str:
    if "referrer" in query:
        return text.url("referrer", query["referrer"], kept)
    sent = header(request, b"referer")
    return text.browser_url(sent, kept) if sent else ""


def _utm_of(landing_url: str) -> dict[str, str]:
    """The utm fields in a URL's query; what breaks a rule there is left out, the URL itself is kept."""
    found: dict[str, str] = {}
    for name, value in _query_of(landing_url, _UTM_PARAMETERS).items():
        try:
            found[name] = text.clean(name, value)
        except FieldError:
            continue
    return found


def _external_id(query: Mapping[str, str], landing_url: str) -> str:
    """The named external id; else an advertising click id of the request or the landing page that is fit to
    be one."""
    if "external_id" in query:
        return text.clean("external_id", query["external_id"])
    names = {name: name for name in ad_click_ids()}
    for source in (query, _query_of(landing_url, names)):
        for name in ad_click_ids():
            if name in source and len(source[name].encode()) <= text.IDENTIFIER_BYTES:
                return scrub(source[name])
    return ""


def _query_of(url: str, names: Mapping[str, str]) -> dict[str, str]:
    try:
        return read_query(urlsplit(url).query.encode(), names)
    except (ValueError, FieldError):
        return {}
