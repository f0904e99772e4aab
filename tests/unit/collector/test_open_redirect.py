"""Nobody is sent anywhere but to a configured or a signed target, whatever is put into whichever parameter, path or header."""

from collections.abc import Mapping
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.links import sign
from collector.touches import parameters
from tests.unit.collector.support import LINK_KEY, Collector

HOST = "shop.example"
LINKS = {
    "shop": "https://shop.example/buy?c={campaign}&s={sub1}&id={click_id}&x={external_id}#top",
    "bare": "https://shop.example",
}
CORPUS = (
    *(
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
    ),
    *(
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "hTTps://evil.example",
        "http://evil.example:80",
    ),
    *(
        "@evil.example",
        ":x@evil.example",
        ".evil.example",
        "shop.example.evil.example",
        "https://shop.example@evil.example/",
    ),
    *(
        "https://shop.example%2eevil.example",
        "https://evil.example%23shop.example",
        "https://evil.example#@shop.example",
    ),
    *(
        "https://evil.example\\@shop.example",
        "https://evil.example?shop.example",
        "https://[::ffff:203.0.113.9]/",
        "https://0x7f000001/",
    ),
    *(
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,<script>",
        "vbscript:x",
        "file:///etc/passwd",
    ),
    *(
        "%2f%2fevil.example",
        "%252f%252fevil.example",
        "%0d%0alocation:%20https://evil.example",
        "\r\nlocation: https://evil.example",
    ),
    *(
        "https://еvil.example",
        "https://evil。example",
        "//evil.example/%2f..",
        "/%09/evil.example",
        "https://evil.example/{click_id}",
    ),
    *(
        "&to=https://evil.example",
        "#https://evil.example",
        "?to=//evil.example",
        "}https://evil.example{",
        "{{campaign}}",
        "\x00https://evil.example",
    ),
)
STEERING = ("campaign", "sub1", "external_id", "click_id", "gclid", "to", "sig", "link", "url")
"""Parameters that have a say in where a redirect leads; the others are tried in combinations."""
SIGNED = {"to": "https://shop.example/p", "sig": sign("https://shop.example/p", LINK_KEY)}


def assert_stays(
    collector: Collector, method: str, path: str, content: Mapping[str, str], **headers: str
) -> None:
    sent = {"params": content} if method == "GET" else {"data": content}
    answer = collector.call(method, path, headers=headers, **sent)
    assert answer.status_code in (200, 302, 303, 400, 404, 405), answer.text
    for name, value in answer.headers.multi_items():
        assert "\n" not in value and "\r" not in value
        assert name not in ("refresh", "content-location")
    if answer.is_redirect:
        location = answer.headers["location"]
        parts = urlsplit(location)
        assert (parts.scheme, parts.netloc) == ("https", HOST), location
        assert location.startswith("https://shop.example") and location.isascii()
        assert not set(location) & set('\\"<> \t{}')
    else:
        assert "location" not in answer.headers


@pytest.mark.parametrize("payload", CORPUS)
def test_no_parameter_leads_astray(payload: str) -> None:
    collector = Collector(links=LINKS)
    for name in STEERING:
        for target in ({"link": "shop"}, {"link": "bare"}, SIGNED):
            assert_stays(collector, "GET", "/c", target | {name: payload})
        assert_stays(collector, "GET", "/c/shop", {name: payload})
        assert_stays(collector, "POST", "/lead", {"link": "shop", name: payload})


@pytest.mark.parametrize("payload", CORPUS)
def test_no_path_and_no_header_leads_astray(payload: str) -> None:
    collector = Collector(links=LINKS)
    for path in (
        f"/c/{quote(payload, safe='')}",
        f"/c/shop{quote(payload, safe='/')}",
        f"/{quote(payload, safe='')}",
    ):
        assert_stays(collector, "GET", path, {})
    value = quote(payload, safe="/:@?#&=\\ ")
    for header in ("host", "x-forwarded-host", "x-forwarded-proto", "referer", "origin", "forwarded"):
        assert_stays(collector, "GET", "/c/shop", {}, **{header: value})


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(parameters())), st.text(max_size=40) | st.sampled_from(CORPUS), max_size=5
    ),
    st.sampled_from(["/c", "/c/shop", "/c/bare"]),
)
def test_no_combination_leads_astray(content: dict[str, str], path: str) -> None:
    content = {name: value.encode(errors="ignore").decode() for name, value in content.items()}
    assert_stays(Collector(links=LINKS), "GET", path, content)
