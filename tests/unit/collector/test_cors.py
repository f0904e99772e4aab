"""Which pages may read what the collector answers."""

import httpx
import pytest

from collector.cors import check_origin
from collector.producer import MemoryProducer
from tests.unit.collector.support import Collector

SHOP = "https://shop.example"
ORIGINS = (SHOP, "http://localhost:8000")
DOORS = [("GET", "/i.gif"), ("POST", "/i.gif"), ("POST", "/lead")]


def send(
    collector: Collector, method: str, path: str, origin: str | None, **arguments: str
) -> httpx.Response:
    headers = {} if origin is None else {"origin": origin}
    data = arguments if method == "POST" else None
    if method == "POST" and not data:
        headers["content-type"] = "application/x-www-form-urlencoded"
    return collector.call(method, path, headers=headers, data=data)


def allowed(response: httpx.Response) -> dict[str, str]:
    """What the answer says to a browser about other origins."""
    return {
        name.removeprefix("access-control-"): value
        for name, value in response.headers.items()
        if name.startswith("access-control-")
    }


@pytest.mark.parametrize(("method", "path"), DOORS)
@pytest.mark.parametrize("origin", ORIGINS)
def test_a_listed_origin_may_read_the_answer(method: str, path: str, origin: str) -> None:
    response = send(Collector(origins=ORIGINS), method, path, origin)
    assert response.status_code == 200
    assert allowed(response) == {
        "allow-origin": origin,
        "allow-credentials": "true",
        "expose-headers": "x-funnel-event-id",
    }
    assert response.headers["vary"] == "origin"


@pytest.mark.parametrize(("method", "path"), DOORS)
@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "*",
        "http://shop.example",
        "https://shop.example:8443",
        "https://shop.example.evil.example",
        "https://evil.example",
        "https://SHOP.example",
        "https://shop.example/",
    ],
)
def test_no_other_origin_may_but_its_event_counts(method: str, path: str, origin: str | None) -> None:
    collector = Collector(origins=ORIGINS)
    response = send(collector, method, path, origin)
    assert response.status_code == 200
    assert allowed(response) == {}
    assert response.headers["vary"] == "origin"
    assert len(collector.sent) == 1


@pytest.mark.parametrize(("method", "path"), DOORS)
def test_without_a_list_nothing_is_said(method: str, path: str) -> None:
    response = send(Collector(), method, path, SHOP)
    assert allowed(response) == {}
    assert "vary" not in response.headers


def test_refusals_and_the_brokers_absence_are_readable_too() -> None:
    refused = send(Collector(origins=ORIGINS), "POST", "/lead", SHOP, email="nobody")
    assert (refused.status_code, allowed(refused)["allow-origin"]) == (400, SHOP)
    away = send(Collector(producer=MemoryProducer(away=True), origins=ORIGINS), "POST", "/i.gif", SHOP)
    assert (away.status_code, allowed(away)["allow-origin"]) == (503, SHOP)


@pytest.mark.parametrize("path", ["/i.gif", "/lead"])
def test_a_listed_origin_may_ask_before_it_sends(path: str) -> None:
    collector = Collector(origins=ORIGINS)
    headers = {"origin": SHOP, "access-control-request-method": "POST"}
    response = collector.call("OPTIONS", path, headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert "content-length" not in response.headers
    asked = allowed(response)
    assert (asked["allow-origin"], asked["allow-credentials"]) == (SHOP, "true")
    assert asked["allow-methods"] == "GET, POST"
    assert asked["allow-headers"] == "content-type"
    assert collector.sent == []


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/lead", {"origin": "https://evil.example", "access-control-request-method": "POST"}),
        ("/lead", {"origin": SHOP}),
        ("/lead", {"access-control-request-method": "POST"}),
        ("/events", {"origin": SHOP, "access-control-request-method": "POST"}),
        ("/c", {"origin": SHOP, "access-control-request-method": "GET"}),
    ],
)
def test_no_other_question_is_answered(path: str, headers: dict[str, str]) -> None:
    response = Collector(origins=ORIGINS).call("OPTIONS", path, headers=headers)
    assert response.status_code == 405
    assert "access-control-allow-methods" not in response.headers


def test_the_batch_is_for_servers() -> None:
    response = Collector(origins=ORIGINS).call("POST", "/events", headers={"origin": SHOP})
    assert allowed(response) == {}


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "http://localhost:8000",
        "http://127.0.0.1:1",
        "https://a-b.c_d.example:65535",
        "https://[2001:db8::1]:8443",
        "https://xn--bcher-kva.example",
    ],
)
def test_what_browsers_send_is_an_origin(origin: str) -> None:
    assert check_origin(origin) == origin


@pytest.mark.parametrize(
    "text",
    [
        "*",
        "null",
        "shop.example",
        "https://*.shop.example",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example:443",
        "http://shop.example:80",
        "https://shop.example:65536",
        "https://shop.example:0",
        "https://Shop.example",
        "https://bücher.example",
        "https://user@shop.example",
        "https://shop.example.",
        "https://shop.example\n",
        "ftp://shop.example",
        "https://",
        "",
    ],
)
def test_what_no_browser_sends_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"origin|port"):
        check_origin(text)
