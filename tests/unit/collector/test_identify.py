"""POST /identify: who a visitor has logged in as."""

import hashlib
import hmac

import pytest

from collector.encoding import make_encoder
from schemas.encoding import encode
from schemas.ids import route_of
from schemas.topics import LINKS
from tests.unit.collector.support import NOW, VISITOR, Collector, field_of

HASH = hmac.new(b"pepper", b"user\0u-4711", hashlib.sha256).hexdigest()


def test_a_login_is_a_claim_of_the_remembered_visitor() -> None:
    collector = Collector()
    response = collector.call(
        "POST", "/identify", data={"user_id": " u-4711 "}, headers={"cookie": f"fv={VISITOR}"}
    )
    ((record, claim),) = collector.sent
    key = f"user {HASH}"
    assert response.json() == {"status": "accepted", "event_id": claim["event_id"], "visitor_id": VISITOR}
    assert (record.topic, record.key, record.timestamp) == ("links", route_of(key).encode(), NOW)
    assert (claim["purpose"], claim["visitor_id"], claim["identity_key"]) == ("claim", VISITOR, key)
    assert claim["route"] == route_of(key) and claim["occurred_at"] == NOW - NOW % 86_400_000
    assert b"4711" not in record.value


def test_the_same_login_again_on_a_day_is_the_same_record() -> None:
    collector = Collector()
    for _ in range(2):
        collector.call("POST", "/identify", json={"user_id": "u-4711", "visitor": VISITOR})
    (first, _), (second, _) = collector.sent
    assert first.value == second.value


@pytest.mark.parametrize("objection", [{"sec-gpc": "1"}, {"dnt": "1"}, {}])
def test_who_objects_is_not_joined(objection: dict[str, str]) -> None:
    collector = Collector()
    fields = {"user_id": "u-4711", "visitor": VISITOR} | ({} if objection else {"consent": "denied"})
    response = collector.call("POST", "/identify", data=fields, headers=objection)
    assert (response.status_code, response.json(), collector.sent) == (200, {"status": "ignored"}, [])


@pytest.mark.parametrize("user_id", ["", " ", "x" * 257])
def test_what_is_no_user_id(user_id: str) -> None:
    collector = Collector()
    response = collector.call("POST", "/identify", data={"user_id": user_id, "visitor": VISITOR})
    assert (response.status_code, field_of(response), collector.sent) == (400, "user_id", [])


def test_links_are_encoded_as_the_others() -> None:
    record = {"event_id": "e", "purpose": "claim", "occurred_at": 1, "route": "abcd", "visitor_id": "v"}
    assert make_encoder(LINKS)(record) == encode(LINKS, record)
