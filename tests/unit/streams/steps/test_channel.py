"""Channels: every row of the table in docs/rules.md, section 5, and that the first one counts."""

import pytest

from schemas.reference import channel_lists
from streams.steps.channel import (
    CHANNELS,
    CLUES,
    SEARCH,
    SOCIAL,
    channel_of,
    channel_table,
    click_id_names,
    host_clues,
)
from streams.steps.enrich import Lookups, enrich
from tests.unit.streams.steps.touches import touches

LISTED = [
    (name, entry, column, channel)
    for name, column, channel in (
        ("affiliate_mediums", "utm_medium", "affiliate"),
        ("email_mediums", "utm_medium", "email"),
        ("email_mediums", "utm_source", "email"),
        ("display_mediums", "utm_medium", "display"),
        ("paid_mediums", "utm_medium", "paid_other"),
        ("search_sources", "utm_source", "organic_search"),
        ("social_sources", "utm_source", "organic_social"),
        ("social_mediums", "utm_medium", "organic_social"),
    )
    for entry in sorted(channel_lists()[name])
]


def channel(**fields: str) -> str:
    found: str = enrich(touches([fields]), Lookups.open("", ""))["channel"][0]
    return found


def test_every_entry_of_every_list_counts_in_any_case() -> None:
    rows = [
        {column: entry.upper() if place % 2 else entry} for place, (_, entry, column, _) in enumerate(LISTED)
    ]
    found = enrich(touches(rows), Lookups.open("", ""))["channel"].to_list()
    assert found == [expected for _, _, _, expected in LISTED]


def test_every_host_counts_itself_and_below() -> None:
    lists = channel_lists()
    for name, clue in (("search_hosts", SEARCH), ("social_hosts", SOCIAL)):
        for host in lists[name]:
            assert host_clues(host) & clue and host_clues(f"deep.er.{host}") & clue
            assert not (host_clues(f"x{host}") | host_clues(f"{host}.example")) & clue


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"affiliate": "a", "utm_medium": "email"}, "affiliate"),
        ({"utm_medium": "display", "utm_source": "newsletter"}, "email"),
        ({"utm_medium": "cpm", "landing_url": "https://a.b/?gclid=1"}, "display"),
        ({"utm_medium": "cpc", "landing_url": "https://a.b/?dclid=1"}, "display"),
        ({"utm_medium": "cpc", "utm_source": "google"}, "paid_search"),
        ({"utm_medium": "cpc", "referrer": "https://www.google.de/"}, "paid_search"),
        ({"utm_medium": "social", "landing_url": "https://a.b/?GBRAID=x"}, "paid_search"),
        ({"utm_medium": "cpc", "utm_source": "facebook"}, "paid_social"),
        ({"utm_medium": "ppc", "referrer": "https://l.instagram.com/"}, "paid_social"),
        ({"utm_medium": "cpc", "utm_source": "somebody"}, "paid_other"),
        ({"utm_medium": "Organic"}, "organic_search"),
        ({"referrer": "http://search.yahoo.com/?p=x"}, "organic_search"),
        ({"referrer": "http://yahoo.com/", "landing_url": "https://a.b/"}, "referral"),
        ({"landing_url": "https://a.b/?fbclid=1"}, "organic_social"),
        ({"landing_url": "https://a.b/?fbclid="}, "direct"),
        ({"referrer": "https://t.co/x"}, "organic_social"),
        ({"utm_medium": "referral"}, "referral"),
        ({"referrer": "https://blog.example/", "landing_url": "https://a.b/"}, "referral"),
        ({"referrer": "https://www.A.b/x", "landing_url": "https://a.b:443/"}, "direct"),
        ({"referrer": "https://a.b/x"}, "referral"),
        # Hosts that only Python's cutting finds, against each other and against such as compiled code finds.
        ({"referrer": "https://user@a.b/x", "landing_url": "https://me@www.a.b/"}, "direct"),
        ({"referrer": "https://user@a.b/x", "landing_url": "https://me@c.d/"}, "referral"),
        ({"referrer": "https://a.b/x", "landing_url": "https://me@a.b/"}, "direct"),
        ({"referrer": "https://user@a.b/x", "landing_url": "https://a.b/"}, "direct"),
        ({"referrer": "https://user@www.google.com/"}, "organic_search"),
        ({"landing_url": "https://a.b/?gcl%69d=1"}, "paid_search"),
        ({"utm_source": "x-ray"}, "other"),
        ({"utm_medium": "whatever"}, "other"),
        ({"landing_url": "https://a.b/"}, "direct"),
        ({}, "direct"),
    ],
)
def test_the_first_rule_that_applies_counts(fields: dict[str, str], expected: str) -> None:
    assert channel(**fields) == expected


def test_the_table_is_the_function() -> None:
    assert [CHANNELS[place] for place in channel_table()] == [channel_of(clues) for clues in range(CLUES)]


def test_all_click_ids_can_be_looked_for() -> None:
    lists = channel_lists()
    count = sum(len(lists[f"{kind}_click_ids"]) for kind in ("search", "social", "display"))
    assert len(click_id_names().first) == count
