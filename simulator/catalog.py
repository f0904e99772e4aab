"""What traffic looks like: user agents, landing pages, campaigns and where visits come from.

Names of sites and companies are made up or reserved for documentation; user agents have the form that browsers give theirs.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

_WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
_DESKTOPS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "X11; CrOS x86_64 14541.0.0",
)
_PHONES = (
    "Linux; Android 10; K",
    "Linux; Android 13; SM-S918B",
    "Linux; Android 14; Pixel 8",
    "Linux; Android 12; moto g(60)",
)
_CHROMES = ("120.0.0.0", "122.0.0.0", "124.0.0.0", "126.0.0.0", "131.0.0.0")
_IOS = ("16_6", "17_4_1", "17_6", "18_1")
_WINDOWS, _MAC, _LINUX, _CROS = _DESKTOPS

BOTS = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Twitterbot/1.0",
    "curl/8.5.0",
    "python-requests/2.31.0",
    f"Mozilla/5.0 ({_LINUX}) {_WEBKIT} HeadlessChrome/120.0.6099.109 Safari/537.36",
)
PARTNERS = ("northnet", "adria-media", "cpa.house", "leadwerk", "tradelane")
CURRENCIES = {
    "northnet": "EUR",
    "adria-media": "USD",
    "cpa.house": "USD",
    "leadwerk": "EUR",
    "tradelane": "GBP",
}
POSTBACK_AGENTS = (
    "",
    "northnet-postback/2.1",
    "Go-http-client/1.1",
    "Apache-HttpClient/4.5.14 (Java/17.0.9)",
)
FORMS = ("newsletter", "quote", "demo", "whitepaper")
GOALS = ("sale", "signup", "upsell")
_HOSTS = ("shop.example", "www.shop.example", "offers.example.com", "landing.example.net")
_PATHS = ("", "summer", "products/shoes", "p/4711", "lp/trial", "en/start")


class Visit(NamedTuple):
    """Where a visit comes from: fields of its events, and its landing URL up to what is unique to it."""

    fields: Mapping[str, str]
    landing: str
    click_parameter: str


@cache
def user_agents() -> Sequence[str]:
    """Return the user agents of people, the most frequent first."""
    return tuple(dict.fromkeys(_interleaved(_chrome(), _mobile_chrome(), _apple(), _others())))


def _interleaved(*families: Sequence[str]) -> Iterator[str]:
    for place in range(max(map(len, families))):
        yield from (family[place] for family in families if place < len(family))


def _chrome() -> Sequence[str]:
    return [
        f"Mozilla/5.0 ({system}) {_WEBKIT} Chrome/{version} Safari/537.36"
        for version in _CHROMES
        for system in _DESKTOPS
    ]


def _mobile_chrome() -> Sequence[str]:
    phones = [
        f"Mozilla/5.0 ({phone}) {_WEBKIT} Chrome/{version} Mobile Safari/537.36"
        for version in _CHROMES[2:]
        for phone in _PHONES
    ]
    return [*phones, f"Mozilla/5.0 (Linux; Android 13; SM-X200) {_WEBKIT} Chrome/124.0.0.0 Safari/537.36"]


def _apple() -> Sequence[str]:
    webkit = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
    phones = [
        f"Mozilla/5.0 (iPhone; CPU iPhone OS {version} like Mac OS X) {webkit} Version/{version[:2]}.0 Mobile/15E148 Safari/604.1"
        for version in _IOS
    ]
    tablets = [
        f"Mozilla/5.0 (iPad; CPU OS {version} like Mac OS X) {webkit} Version/{version[:2]}.0 Mobile/15E148 Safari/604.1"
        for version in _IOS[:2]
    ]
    return [*phones, *tablets, f"Mozilla/5.0 ({_MAC}) {webkit} Version/17.4.1 Safari/605.1.15"]


def _others() -> Sequence[str]:
    return [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:125.0) Gecko/20100101 Firefox/125.0",
        f"Mozilla/5.0 ({_WINDOWS}) {_WEBKIT} Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
        "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:124.0) Gecko/20100101 Firefox/124.0",
        "Mozilla/5.0 (X11; Fedora; Linux x86_64; rv:123.0) Gecko/20100101 Firefox/123.0",
        "Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0",
        f"Mozilla/5.0 ({_WINDOWS}) {_WEBKIT} Chrome/122.0.0.0 Safari/537.36 OPR/108.0.0.0",
        f"Mozilla/5.0 (Linux; Android 13; SAMSUNG SM-A536B) {_WEBKIT} SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36",
        "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 "
        "Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15063",
        "Mozilla/5.0 (PlayStation 5 3.11) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
        "",
    ]


@cache
def visits() -> Sequence[Visit]:
    """Return 240 ways to come in, the most frequent first; channels alternate, campaigns and affiliates are many."""
    return tuple(_visit(place, _SOURCES[place % len(_SOURCES)]) for place in range(240))


class _Source(NamedTuple):
    utm_source: str = ""
    utm_medium: str = ""
    referrer: str = ""
    click_parameter: str = ""
    affiliate: bool = False


_SOURCES = (
    _Source("google", "cpc", "https://www.google.com/", "gclid"),
    _Source(),
    _Source("", "", "https://www.google.de/"),
    _Source("facebook", "paid_social", "https://l.facebook.com/", "fbclid"),
    _Source("adria", "affiliate", "https://deals.example.org/best", "", True),
    _Source("spring-mail", "email"),
    _Source("", "", "https://www.bing.com/search"),
    _Source("northnet", "display", "https://news.example.org/", "dclid"),
    _Source("", "", "https://t.co/"),
    _Source("", "", "https://blog.example.org/review"),
    _Source("bing", "cpc", "https://www.bing.com/", "msclkid"),
    _Source("", "", "https://coupons.example.org/shop", "", True),
    _Source("tiktok", "social", "", "ttclid"),
    _Source("podcast", "audio"),
    _Source("outbrain", "cpc", "https://magazine.example.org/"),
    _Source("", "", "https://duckduckgo.com/"),
)


def _visit(place: int, source: _Source) -> Visit:
    paid = source.utm_source != "" or source.affiliate
    fields = {
        "campaign": f"c-{place % 90:03d}" if paid else "",
        "affiliate": f"aff-{place % 37}" if source.affiliate else "",
        "offer": f"o-{place % 23}" if paid or place % 3 == 0 else "",
        "creative": f"cr-{place % 51}" if paid else "",
        "utm_source": source.utm_source,
        "utm_medium": source.utm_medium,
        "utm_campaign": f"spring-{place % 19}" if paid else "",
        "utm_term": "running+shoes" if source.utm_medium == "cpc" else "",
        "utm_content": f"v{place % 4}" if source.click_parameter else "",
        "referrer": source.referrer,
        "sub1": f"s{place % 11}" if source.affiliate else "",
        "sub2": f"slot-{place % 7}" if source.affiliate else "",
    }
    host, path = _HOSTS[place % len(_HOSTS)], _PATHS[place % len(_PATHS)]
    return Visit(fields, f"https://{host}/{path}", source.click_parameter)
