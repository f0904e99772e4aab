"""The oracle's enrichment, case by case."""

import pytest

from simulator.blank import blank
from simulator.catalog import BOTS
from simulator.oracle.enrich import agent_of, channel_of, enricher, host_of

CHANNELS = [
    ("affiliate", {"affiliate": "a1", "utm_medium": "email"}),
    ("affiliate", {"utm_medium": "Affiliate"}),
    ("email", {"utm_source": "newsletter"}),
    ("display", {"utm_medium": "banner"}),
    ("display", {"landing_url": "https://s.example/?DCLID=1"}),
    ("paid_search", {"utm_medium": "cpc", "referrer": "https://www.google.de/"}),
    ("paid_search", {"landing_url": "https://s.example/?gclid=1"}),
    ("paid_social", {"utm_medium": "cpc", "utm_source": "Facebook"}),
    ("paid_other", {"utm_medium": "cpc", "utm_source": "outbrain"}),
    ("organic_search", {"referrer": "https://Duckduckgo.com:443/"}),
    ("organic_search", {"referrer": "https://de.search.yahoo.com/x"}),
    ("organic_social", {"referrer": "https://m.facebook.com/"}),
    ("organic_social", {"landing_url": "https://s.example/?fbclid=1", "referrer": "https://blog.example/"}),
    ("referral", {"referrer": "https://blog.example/", "landing_url": "https://s.example/"}),
    (
        "other",
        {"utm_source": "podcast", "referrer": "https://s.example/", "landing_url": "https://www.s.example/"},
    ),
    ("direct", {"landing_url": "https://s.example/?gclid="}),
    ("direct", {"referrer": "https://[broken", "landing_url": "https://s.example/"}),
    ("referral", {"referrer": "https://notgoogle.com/"}),
]


@pytest.mark.parametrize(("channel", "fields"), CHANNELS)
def test_channel(channel: str, fields: dict[str, str]) -> None:
    assert channel_of({**blank("click"), **fields}) == channel


@pytest.mark.parametrize(
    ("user_agent", "device", "os"),
    [
        ("", "unknown", ""),
        ("nobody knows", "other", ""),
        (
            "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Safari/604.1",
            "tablet",
            "iOS",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 Chrome/124.0.0.0 Safari/537.36",
            "tablet",
            "Android",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/124.0.0.0 Mobile Safari/537.36",
            "mobile",
            "Android",
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/124.0.0.0 Safari/537.36",
            "desktop",
            "Linux",
        ),
    ],
)
def test_device(user_agent: str, device: str, os: str) -> None:
    assert agent_of(user_agent)[1:3] == (os, device)


@pytest.mark.parametrize("user_agent", BOTS)
def test_bots(user_agent: str) -> None:
    assert agent_of(user_agent)[2:] == ("bot", 1)


def test_host() -> None:
    assert host_of("HTTPS://user@WWW.Example.COM:8443/x") == "example.com"
    assert host_of("/relative") == ""


def test_nothing_is_known_of_an_address_without_files() -> None:
    found = enricher()({**blank("impression"), "ip": "203.0.113.0"})
    assert (found.country, found.network) == ("", "")
