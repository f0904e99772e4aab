"""Routing, health, metrics, addresses, and what is answered when something is wrong."""

import asyncio

import pytest

from collector.producer import Lost, MemoryProducer, SentRecord, fail
from collector.settings import CollectorSettings
from tests.unit.collector.support import Collector


def test_alive_and_ready_are_two_things() -> None:
    collector = Collector()
    assert collector.get("/healthz").status_code == 200
    assert collector.get("/readyz").json() == {"status": "ready", "kept_by": "broker"}
    collector.producer.away = True
    assert collector.get("/healthz").status_code == 200
    assert collector.get("/readyz").status_code == 503


@pytest.mark.parametrize("path", ["/i.gif", "/c?link=shop"])
def test_without_an_acknowledgement_there_is_no_success(path: str) -> None:
    collector = Collector(retry_after_seconds=7)
    collector.producer.away = True
    response = collector.get(path)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert "x-funnel-event-id" not in response.headers
    assert "location" not in response.headers


def test_a_full_queue_means_try_again() -> None:
    collector = Collector()
    collector.producer.capacity = 0
    assert collector.get("/i.gif").status_code == 503


def test_unknown_paths_and_methods() -> None:
    collector = Collector()
    assert collector.get("/").status_code == 404
    assert collector.get("/metrics").status_code == 404
    response = collector.call("POST", "/c")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    assert collector.call("PUT", "/i.gif").headers["allow"] == "GET, POST"
    assert collector.call("GET", "/events").headers["allow"] == "POST"


class BrokenProducer(MemoryProducer):
    """Fails in a way that nobody foresaw."""

    def send(self, record: SentRecord, lost: Lost = fail) -> asyncio.Future[None]:
        raise RuntimeError("broken")


def test_an_unexpected_failure_is_answered_and_does_not_count_as_accepted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    collector = Collector(producer=BrokenProducer())
    response = collector.get("/i.gif")
    assert response.status_code == 500
    assert "broken" not in response.text
    assert "broken" in caplog.text
    assert collector.registry.get_sample_value("funnel_collector_accepted_total", {"kind": "impression"}) == 0


def test_metrics_count_what_was_accepted_refused_and_unavailable() -> None:
    collector = Collector()
    collector.get("/i.gif")
    collector.get("/i.gif", {"campaign": "c" * 300})
    collector.post([{"kind": "click"}, {"kind": "lead", "occurred_at": 0}])
    collector.post([], token="wrong")
    collector.producer.away = True
    collector.get("/i.gif")
    value = collector.registry.get_sample_value
    prefix = "funnel_collector_"
    assert value(prefix + "accepted_total", {"kind": "impression"}) == 1
    assert value(prefix + "accepted_total", {"kind": "click"}) == 1
    assert value(prefix + "accepted_total", {"kind": "lead"}) == 0
    assert value(prefix + "rejected_total", {"reason": "too_long"}) == 1
    assert value(prefix + "rejected_total", {"reason": "time"}) == 1
    assert value(prefix + "rejected_total", {"reason": "unauthorized"}) == 1
    assert value(prefix + "unavailable_total") == 1
    assert value(prefix + "request_seconds_count", {"endpoint": "pixel"}) == 3


PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")


@pytest.mark.parametrize(
    ("peer", "forwarded", "network"),
    [
        ("198.51.100.9", ["203.0.113.5"], "198.51.100.0"),
        ("10.1.2.3", [], "10.1.2.0"),
        ("10.1.2.3", ["203.0.113.5"], "203.0.113.0"),
        ("10.1.2.3", ["192.0.2.1, 203.0.113.5, 10.9.9.9"], "203.0.113.0"),
        ("10.1.2.3", ["192.0.2.1", "203.0.113.5"], "203.0.113.0"),
        ("10.1.2.3", ["10.4.4.4, 10.5.5.5"], "10.4.4.0"),
        ("10.1.2.3", ["192.0.2.1, unknown"], ""),
        ("2001:db8:ffff::1", ["2001:db8:1:2::3"], "2001:db8:1::"),
    ],
)
def test_forwarded_addresses_are_believed_of_trusted_proxies_only(
    peer: str, forwarded: list[str], network: str
) -> None:
    collector = Collector(peer=peer, trusted_proxies=PROXIES)
    collector.call("GET", "/i.gif", headers=[("x-forwarded-for", value) for value in forwarded])
    assert collector.event["ip"] == network


def test_without_trusted_proxies_only_the_socket_counts() -> None:
    collector = Collector(peer="10.1.2.3")
    collector.get("/i.gif", headers={"x-forwarded-for": "203.0.113.5"})
    assert collector.event["ip"] == "10.1.2.0"


def test_a_trusted_proxy_that_is_no_network_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Collector(trusted_proxies=("proxy",))


def test_secrets_do_not_show() -> None:
    settings = CollectorSettings(bootstrap="b", tokens=("t0ken",), email_key="em4il", link_keys=("l1nk",))
    assert not any(secret in repr(settings) for secret in ("t0ken", "em4il", "l1nk"))


def test_a_topic_prefix_is_put_before_every_topic() -> None:
    collector = Collector(topic_prefix="stage.")
    collector.get("/i.gif")
    assert [record.topic for record in collector.producer.records] == ["stage.impressions"]


def test_only_http_is_served() -> None:
    collector = Collector()

    async def nothing(*_message: object) -> dict[str, object]:
        return {}

    with pytest.raises(RuntimeError, match="websocket"):
        asyncio.run(collector.app({"type": "websocket"}, nothing, nothing))  # type: ignore[arg-type]
