"""URLs for the tests: usual ones, and such as put every cutter of URLs to the test."""

from collections.abc import Sequence

from hypothesis import strategies as st

HOSTS = (
    *(
        "google.com",
        "www.google.com",
        "WWW.Google.COM",
        "news.google.de",
        "notgoogle.com",
        "google.com.",
        "t.co",
        "m.facebook.com",
    ),
    *(
        "shop.example.com",
        "www.example.com",
        "example.com",
        "www.www.t.co",
        "www.",
        "wwww.t.co",
        "ww.t.co",
        "",
        "localhost",
        "10.0.0.1",
    ),
    *(
        "[::1]",
        "[fe80::1%Eth0]",
        "[",
        "a]b",
        "bücher.de",
        "ex\u212aample.com",
        "a\u2100b",
        "a_b.c",
        "-",
        "%41.com",
    ),
)
NAMES = (
    *(
        "gclid",
        "GCLID",
        "gclid",
        "fbclid",
        "dclid",
        "li_fat_id",
        "msclkid",
        "mscl\u212aid",
        "epik",
        "x",
        "utm_source",
        "gclidx",
        "gcli",
    ),
    *(
        "gcl%69d",
        "gclid+",
        "%67clid",
        "gclid%",
        "gcl\tid",
        " gclid",
        "",
        "g" * 16,
        "g" * 17,
        "li_fat_idli_fat_",
        "ünlaut",
        "\0gclid",
    ),
)
VALUES = ("1", "", "", "a b", "%20", "\t", "\n", "1=2", "ü", "?", "/", ";gclid=2", "+", "abc" * 9)
SCHEMES = (
    "http://",
    "https://",
    "HTTPS://",
    "android-app://",
    "//",
    "",
    "http:/",
    "http:",
    "1x://",
    "ht tp://",
    " https://",
    "+a://",
    "a+b.c-1://",
)
_noise = st.sampled_from(
    (
        "\t",
        "\n",
        "\r",
        " ",
        "\0",
        "@",
        "[",
        "]",
        "#",
        "?",
        "&",
        "=",
        "%",
        "+",
        ":",
        "/",
        ";",
        "é",
        "\uff0f",
        "\u212a",
    )
)

pairs = st.builds(
    lambda name, sign, value: name + sign + value,
    st.sampled_from(NAMES),
    st.sampled_from(("=", "=", "=", "")),
    st.sampled_from(VALUES),
)
queries = st.builds("&".join, st.lists(pairs, max_size=4))


def _assembled(
    schemes: Sequence[str], users: Sequence[str], hosts: Sequence[str], ports: Sequence[str]
) -> st.SearchStrategy[str]:
    parts = (
        *(st.sampled_from(choices) for choices in (schemes, users, hosts, ports)),
        st.sampled_from(("", "/", "/path/to", "/a;b", "/@", "/é")),
        st.one_of(
            st.just(""), queries.map(lambda query: "?" + query), queries.map(lambda query: "?" + query)
        ),
        st.sampled_from(("", "", "#top", "#?gclid=1", "#a=b&gclid=2")),
    )
    return st.builds("".join, st.tuples(*parts))


usual_urls = _assembled(("http://", "https://"), ("",), HOSTS[:8], ("", ":80"))
odd_urls = _assembled(
    SCHEMES, ("", "", "", "user@", "user:pw@", "a@b@"), HOSTS, ("", "", ":80", ":", ":x", ":80:81")
)


@st.composite
def urls(draw: st.DrawFn) -> str:
    """A URL, often with something put in at any place."""
    url = draw(st.one_of(usual_urls, usual_urls, odd_urls))
    for noise in draw(st.lists(_noise, max_size=2 if draw(st.booleans()) else 0)):
        place = draw(st.integers(0, len(url)))
        url = url[:place] + noise + url[place:]
    return url
