"""The compiled cutting of URLs agrees with Python's, or says that it cannot tell."""

from urllib.parse import parse_qsl, urlsplit

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.steps.columns import string_array, string_bytes
from streams.steps.urls import UNDECIDED, flags_of, host_of, hosts, locate, names_of
from tests.unit.streams.steps.links import urls

FLAGS = {"gclid": 1, "dclid": 2, "fbclid": 4, "li_fat_id": 4, "msclkid": 1, "epik": 4, "g" * 16: 8}


def host_by_definition(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    host = host.lower()
    return host[4:] if host.startswith("www.") else host


def flags_by_definition(url: str) -> int:
    try:
        named = {name.lower() for name, value in parse_qsl(urlsplit(url).query) if value}
    except ValueError:
        return 0
    flags = 0
    for name, flag in FLAGS.items():
        flags |= flag if name in named else 0
    return flags


def cut(values: list[str]) -> list[tuple[str, int] | None]:
    """Host and flags per URL as compiled code finds them, None where it cannot tell."""
    column = string_bytes(pl.Series(values, dtype=pl.String))
    located = locate(column, names_of(FLAGS))
    found = string_array(hosts(column, located)).to_pylist()
    return [
        None if flags == UNDECIDED else (host, flags)
        for host, flags in zip(found, located.flags.tolist(), strict=True)
    ]


@settings(max_examples=500)
@given(st.lists(urls(), max_size=6))
@example(["https://a.b/?gclid=\t"])
@example(["https://a.b/?gcl\tid=1"])
@example(["https://a.b/?x#?gclid=1"])
@example(["https://a.b/?gclid=#x", "https://a.b/?x=1#a=b&gclid=2"])
@example(["https://a.b#?gclid=1"])
@example(["https://a.b?gclid=1?"])
@example(["https://a.b/\t?gclid=1", "https://a.b/ ?gclid=1#\n"])
def test_what_is_decided_is_right(values: list[str]) -> None:
    for url, found in zip(values, cut(values), strict=True):
        if found is not None:
            assert found == (host_by_definition(url), flags_by_definition(url)), url


@settings(max_examples=300)
@given(urls())
def test_the_exact_path_is_the_definition(url: str) -> None:
    assert host_of(url) == host_by_definition(url)
    assert flags_of(url, FLAGS) == flags_by_definition(url)


@pytest.mark.parametrize(
    ("url", "host", "flags"),
    [
        ("", "", 0),
        ("https://www.Example.com:8443/a/b?utm_source=x&GCLID=Cj0%2B&y=1#frag", "example.com", 1),
        ("http://example.com?fbclid=1&dclid=2", "example.com", 6),
        ("http://example.com/?gclid=&fbclid", "example.com", 0),
        ("android-app://com.google.android.gm/", "com.google.android.gm", 0),
        ("https://shop.example/ü?q=%C3%BC&li_fat_id=é", "shop.example", 4),
        ("https://10.0.0.1", "10.0.0.1", 0),
        (f"https://a.b/?{'g' * 16}=1&{'g' * 17}=1", "a.b", 8),
    ],
)
def test_usual_urls_are_decided(url: str, host: str, flags: int) -> None:
    assert cut([url]) == [(host, flags)]


@pytest.mark.parametrize(
    "url", ["https://u@a.b/", "https://[::1]/", "https://bücher.de/", "a.b/c", "https://a.b/?gcl%69d=1"]
)
def test_unusual_urls_are_left_to_the_definition(url: str) -> None:
    assert cut([url]) == [None]


def test_no_names_no_query() -> None:
    column = string_bytes(pl.Series(["https://a.b/?%67clid=1"]))
    assert locate(column, names_of({})).flags.tolist() == [0]


@pytest.mark.parametrize("name", ["", "Gclid", "ü", "a" * 17])
def test_names_that_cannot_be_looked_for_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="click id"):
        names_of({name: 1})
