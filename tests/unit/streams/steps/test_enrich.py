"""Enrichment agrees with docs/rules.md, section 5, read row by row."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import polars as pl
import pytest
import ua_parser
from crawleruseragents import is_crawler
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.reference import channel_lists
from schemas.topics import EVENT_TOPICS
from streams.steps.decode import decode
from streams.steps.enrich import Lookups, enrich
from streams.steps.validate import validate
from tests.unit.streams.steps import test_agent as agents
from tests.unit.streams.steps.links import urls
from tests.unit.streams.steps.records import batch, encoded
from tests.unit.streams.steps.test_geo import written
from tests.unit.streams.steps.touches import touches

LISTS = channel_lists()
ENTRIES = sorted(set().union(*(LISTS[name] for name in LISTS if name.endswith(("mediums", "sources")))))
AGENTS = (agents.WINDOWS, agents.IPAD, agents.PIXEL, agents.GOOGLEBOT, "", "odd")
IPS = ("192.0.2.1", "198.51.100.1", "", "x")

tags = st.one_of(
    st.just(""),
    st.sampled_from(ENTRIES),
    st.sampled_from(ENTRIES).map(str.upper),
    st.sampled_from(("organic", "Referral", "z", "boo\u212aing", "İ")),
)
rows = st.fixed_dictionaries(
    {
        "affiliate": st.sampled_from(("", "", "", "a1")),
        "utm_source": tags,
        "utm_medium": tags,
        "referrer": st.one_of(st.just(""), urls()),
        "landing_url": st.one_of(st.just(""), urls()),
        "ip": st.sampled_from(IPS),
        "user_agent": st.sampled_from(AGENTS),
    }
)


@pytest.fixture(scope="module")
def lookups(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lookups]:
    folder: Path = tmp_path_factory.mktemp("geo")
    country = written(folder / "country.mmdb", {"192.0.2.0/24": {"country": {"iso_code": "DE"}}})
    asn = written(folder / "asn.mmdb", {"198.51.100.0/24": {"autonomous_system_organization": "Example Net"}})
    yield Lookups.open(country, asn)


def host(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower().removeprefix("www.")
    except ValueError:
        return ""


def click_ids(url: str) -> set[str]:
    try:
        return {name.lower() for name, _ in parse_qsl(urlsplit(url).query)}
    except ValueError:
        return set()


def listed(name: str, entry: str) -> bool:
    return any(name == known or name.endswith("." + known) for known in LISTS[entry])


def channel(row: dict[str, str]) -> str:
    """The table, line by line."""
    s, m, r = row["utm_source"].lower(), row["utm_medium"].lower(), host(row["referrer"])
    ids = click_ids(row["landing_url"])
    paid = m in LISTS["paid_mediums"]
    search = s in LISTS["search_sources"] or listed(r, "search_hosts")
    social = s in LISTS["social_sources"] or listed(r, "social_hosts")
    if row["affiliate"] or m in LISTS["affiliate_mediums"]:
        return "affiliate"
    if {m, s} & LISTS["email_mediums"]:
        return "email"
    if m in LISTS["display_mediums"] or ids & LISTS["display_click_ids"]:
        return "display"
    if (paid and search) or ids & LISTS["search_click_ids"]:
        return "paid_search"
    if paid and social:
        return "paid_social"
    if paid:
        return "paid_other"
    if m == "organic" or search:
        return "organic_search"
    if m in LISTS["social_mediums"] or social or ids & LISTS["social_click_ids"]:
        return "organic_social"
    if m == "referral" or (r and r != host(row["landing_url"])):
        return "referral"
    return "other" if s or m else "direct"


def agent(user_agent: str) -> tuple[str, str, int]:
    if not user_agent:
        return "", "", 0
    browser, system = ua_parser.parse_user_agent(user_agent), ua_parser.parse_os(user_agent)
    return browser.family if browser else "", system.family if system else "", int(is_crawler(user_agent))


@settings(max_examples=200)
@given(st.lists(rows, max_size=6))
def test_agrees_with_the_rules(lookups: Lookups, touched: list[dict[str, str]]) -> None:
    frame = enrich(touches(touched), lookups)
    for row, got in zip(touched, frame.iter_rows(named=True), strict=True):
        assert got["channel"] == channel(row), row
        assert (got["browser"], got["os"], got["bot"]) == agent(row["user_agent"])
        assert got["country"] == ("DE" if row["ip"] == "192.0.2.1" else "")
        assert got["network"] == ("Example Net" if row["ip"] == "198.51.100.1" else "")


def test_types(lookups: Lookups) -> None:
    added = {
        **dict.fromkeys(("channel", "country", "network", "browser", "os", "device"), pl.String),
        "bot": pl.UInt8,
    }
    for frame in (touches([]), touches([{"user_agent": agents.IPAD}])):
        assert {name: enrich(frame, lookups).schema[name] for name in added} == added


@pytest.mark.parametrize("topic", EVENT_TOPICS)
def test_every_event_topic_can_be_enriched(topic: str, lookups: Lookups) -> None:
    content: dict[str, Any] = {"user_agent": agents.IPHONE, "referrer": "https://t.co/", "ip": "192.0.2.1"}
    good, _ = validate(topic, decode(batch(topic, [encoded(topic, **content)] * 3))[0])
    frame = enrich(good, lookups)
    assert (
        frame.select("channel", "country", "device", "bot").rows()
        == [("organic_social", "DE", "mobile", 0)] * 3
    )
    assert frame.select(good.columns).equals(good)
