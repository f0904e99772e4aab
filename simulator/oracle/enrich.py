"""docs/rules.md, section 5: what follows from one event alone."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import crawleruseragents
import maxminddb
import ua_parser

from schemas.reference import channel_lists

_DESKTOPS = frozenset(("Windows", "Mac OS X", "Linux", "Ubuntu", "Fedora", "Chrome OS", "Chromium OS"))


class Enrichment(NamedTuple):
    """Columns that an event gets; their names are the journal's."""

    channel: str
    country: str
    network: str
    browser: str
    os: str
    device: str
    bot: int


Enrich = Callable[[Mapping[str, Any]], Enrichment]


def enricher(country_mmdb: Path | None = None, asn_mmdb: Path | None = None) -> Enrich:
    """Return the function from a record to its enrichment. The MMDB files stay open."""
    country = _lookup(country_mmdb, ("country", "iso_code"))
    network = _lookup(asn_mmdb, ("autonomous_system_organization",))
    # Equal results are one object: a million events share a few thousand.
    shared: dict[Enrichment, Enrichment] = {}

    def enrich(record: Mapping[str, Any]) -> Enrichment:
        ip, (browser, os, device, bot) = record["ip"], agent_of(record["user_agent"])
        found = Enrichment(channel_of(record), country(ip), network(ip), browser, os, device, bot)
        return shared.setdefault(found, found)

    return enrich


def _lookup(path: Path | None, names: tuple[str, ...]) -> Callable[[str], str]:
    if path is None:
        return lambda ip: ""
    reader = maxminddb.open_database(path)

    @lru_cache(maxsize=100_000)
    def find(ip: str) -> str:
        try:
            found: Any = reader.get(ip)
        except ValueError:
            return ""
        for name in names:
            found = found.get(name) if isinstance(found, dict) else None
        return found if isinstance(found, str) else ""

    return find


@lru_cache(maxsize=100_000)
def agent_of(user_agent: str) -> tuple[str, str, str, int]:
    """Return browser, os, device class and bot flag of a user agent."""
    if user_agent == "":
        return "", "", "unknown", 0
    bot = 1 if user_agent == "funnel-probe" else int(crawleruseragents.is_crawler(user_agent))
    parsed = ua_parser.parse(user_agent)
    browser = parsed.user_agent.family if parsed.user_agent else ""
    os = parsed.os.family if parsed.os else ""
    return browser, os, "bot" if bot else _device(os, user_agent), bot


def _device(os: str, user_agent: str) -> str:
    if os == "iOS":
        return "tablet" if "iPad" in user_agent else "mobile"
    if os == "Android":
        return "mobile" if "Mobile" in user_agent else "tablet"
    if os == "Windows Phone":
        return "mobile"
    return "desktop" if os in _DESKTOPS else "other"


@lru_cache(maxsize=100_000)
def host_of(url: str) -> str:
    """Return the host of ``url`` in lower case, without ``www.`` and port."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host.lower().removeprefix("www.")


@lru_cache(maxsize=100_000)
def _click_ids_of(url: str) -> frozenset[str]:
    """The parameters with a value in the query of ``url``, in lower case."""
    try:
        return frozenset(name.lower() for name, _ in parse_qsl(urlsplit(url).query))
    except ValueError:
        return frozenset()


def _is_listed(host: str, listed: frozenset[str]) -> bool:
    labels = host.split(".")
    return any(".".join(labels[place:]) in listed for place in range(len(labels)))


def channel_of(record: Mapping[str, Any]) -> str:
    """Return the channel: the first rule of the table that applies."""
    lists = channel_lists()
    s, m = record["utm_source"].lower(), record["utm_medium"].lower()
    r = host_of(record["referrer"])
    parameters = _click_ids_of(record["landing_url"])
    search = s in lists["search_sources"] or _is_listed(r, lists["search_hosts"])
    social = s in lists["social_sources"] or _is_listed(r, lists["social_hosts"])
    paid = m in lists["paid_mediums"]
    rules = (
        ("affiliate", record["affiliate"] != "" or m in lists["affiliate_mediums"]),
        ("email", m in lists["email_mediums"] or s in lists["email_mediums"]),
        ("display", m in lists["display_mediums"] or bool(parameters & lists["display_click_ids"])),
        ("paid_search", (paid and search) or bool(parameters & lists["search_click_ids"])),
        ("paid_social", paid and social),
        ("paid_other", paid),
        ("organic_search", m == "organic" or search),
        (
            "organic_social",
            m in lists["social_mediums"] or social or bool(parameters & lists["social_click_ids"]),
        ),
        ("referral", m == "referral" or r not in ("", host_of(record["landing_url"]))),
        ("other", s != "" or m != ""),
    )
    return next((channel for channel, applies in rules if applies), "direct")
