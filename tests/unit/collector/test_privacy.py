"""What may not reach the log."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import FieldError
from collector.links import sign
from collector.privacy import Privacy, hash_phone, is_personal, recorded_url, scrub, truncate_ip
from tests.unit.collector.support import LINK_KEY, Collector, field_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
        ("unknown", ""),
        ("203.0.113.777", ""),
    ],
)
def test_addresses_are_cut(address: str, network: str) -> None:
    assert truncate_ip(address) == network


@given(st.ip_addresses())
def test_a_cut_address_has_no_host_left(address: object) -> None:
    cut = truncate_ip(str(address))
    assert cut.endswith((".0", "::"))
    assert truncate_ip(cut) == cut


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("jane@mail.example", "redacted"),
        ("to jane.doe+news@mail.example now", "to redacted now"),
        ("https://a.example/?q=1&u=jane@mail.example&x=2", "https://a.example/?q=1&u=redacted&x=2"),
        ("https://a.example/?u=jane%40mail.example", "https://a.example/?u=redacted"),
        ("https://a.example/?u=https%3A%2F%2Fb%2F%3Fm%3Djane%2540mail.example", None),
        ("https://jane:pw@shop.example/", "https://jane:redacted/"),
        ("https://a.example/?email=secret&x=1", "https://a.example/?email=redacted&x=1"),
        ("https://a.example/?E-Mail=&x=1", "https://a.example/?E-Mail=&x=1"),
        ("https://a.example/?phone=0171234567#top", "https://a.example/?phone=redacted#top"),
        ("call +49 171 234-5678!", "call redacted!"),
        ("x%2B491712345678", "xredacted"),
        ("tel:0171234567", "tel:redacted"),
        ("seen at 203.0.113.77, port 80", "seen at 203.0.113.0, port 80"),
        ("ip%3D203.0.113.77", "ip%3D203.0.113.0"),
        ("[2001:db8:1:2::3]:443", "[2001:db8:1::]:443"),
        ("a=2001%3Adb8%3A1%3A2%3A%3A3", "a=2001:db8:1::"),
        ("über@bücher.example", "redacted"),
    ],
)
def test_personal_data_is_taken_out(text: str, clean: str | None) -> None:
    found = scrub(text)
    assert "jane%2540" not in found
    assert found == (clean if clean is not None else found)
    assert scrub(found) == found
    assert is_personal(text) == (found != text)


@pytest.mark.parametrize(
    "text",
    [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "https://maps.example/@52.5168,13.4006,15z",
        "https://social.example/@someone/posts/7",
        "https://shop.example:8443/a/b.c?utm_source=x&utm_campaign=mail+spring&t=12:34:56#f",
        "std::vector",
        "2026-01-01T00:00:00Z",
        "order 20260101123456789",
        "1+1",
        "a.b.c.d.e",
        "999.888.777.666",
    ],
)
def test_what_is_not_personal_is_left_alone(text: str) -> None:
    assert scrub(text) == text


@given(
    st.text(max_size=60),
    st.sampled_from(["joe@mail.example", "198.51.100.23", "+4917012345678"]),
    st.text(max_size=60),
)
def test_wherever_it_stands_it_is_found(before: str, personal: str, after: str) -> None:
    assert personal not in scrub(f"{before} {personal} {after}")


@given(st.text(alphabet="a@%40.+:=1 ", max_size=5000))
def test_once_is_enough_for_any_text(text: str) -> None:
    once = scrub(text)
    assert scrub(once) == once


KEPT = frozenset(("utm_source", "sku"))


@pytest.mark.parametrize(
    ("url", "recorded"),
    [
        (
            "https://shop.example/a?utm_source=x&token=secret&sku=7",
            "https://shop.example/a?utm_source=x&sku=7",
        ),
        ("https://shop.example/a?SKU=7&&sku", "https://shop.example/a?SKU=7&sku"),
        ("https://shop.example/a?token=secret", "https://shop.example/a"),
        ("https://shop.example/a#access_token=secret", "https://shop.example/a"),
        ("https://shop.example/#/a?sku=7", "https://shop.example/"),
        ("https://jane:secret@shop.example/a@b", "https://shop.example/a@b"),
        ("https://shop.example?q=a@b", "https://shop.example"),
        ("//jane@shop.example/", "//shop.example/"),
        ("not a url", "not a url"),
        ("", ""),
    ],
)
def test_a_recorded_url_keeps_the_parameters_on_the_list(url: str, recorded: str) -> None:
    assert recorded_url(url, KEPT) == recorded


@given(st.text(alphabet="ab?&=#@/:.%"))
def test_what_is_recorded_stays_as_it_is(url: str) -> None:
    once = recorded_url(url, frozenset("a"))
    assert recorded_url(once, frozenset("a")) == once
    names = [pair.partition("=")[0] for pair in once.partition("?")[2].split("&") if pair]
    assert set(names) <= {"a"} and "#" not in once


@pytest.mark.parametrize(
    "number", ["+49 170 1234567", "+49 (0)170-123 45 67", "0170/1234567", "tel:+49-170-1234567"]
)
def test_one_telephone_number_has_one_hash(number: str) -> None:
    digest = hmac.new(b"pepper", b"phone +491701234567", hashlib.sha256).hexdigest()
    assert hash_phone(number, Privacy("pepper", "DE")) == digest


@pytest.mark.parametrize(
    "number", ["", "call me", "0170 1234567", "+49", "+49 1", "12345", "+99912345678901234567890", "\ud800"]
)
def test_what_is_no_telephone_number_is_refused(number: str) -> None:
    with pytest.raises(FieldError) as caught:
        hash_phone(number, Privacy("pepper"))
    assert caught.value.field == "phone"


def test_without_a_key_a_telephone_number_is_refused() -> None:
    with pytest.raises(FieldError, match="no key"):
        hash_phone("+49 170 1234567", Privacy())


def test_a_telephone_number_goes_no_further_than_its_hash() -> None:
    collector = Collector()
    digest = hmac.new(b"pepper", b"phone +491701234567", hashlib.sha256).hexdigest()
    assert collector.call("POST", "/lead", data={"phone": "+49 170 1234567"}).status_code == 200
    assert collector.post([{"kind": "lead", "phone": "+491701234567"}]).status_code == 200
    assert collector.post([{"kind": "lead", "phone_hash": digest}]).status_code == 200
    assert [content["phone_hash"] for _, content in collector.sent] == [digest] * 3
    assert (
        field_of(collector.post([{"kind": "lead", "phone": "+491701234567", "phone_hash": digest}]))
        == "phone_hash"
    )


SECRETS = ("jane.doe@mail.example", "203.0.113.77", "+4917012345678")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("field", ["utm_content", "sub1", "referrer", "landing_url"])
def test_no_free_field_carries_personal_data_to_the_log(field: str, secret: str) -> None:
    collector = Collector()
    value = f"https://x.example/?a={secret}" if field in ("referrer", "landing_url") else secret
    assert collector.get("/i.gif", {field: value}).status_code == 200
    assert collector.post([{"kind": "lead", field: value}]).status_code == 200
    for record, _ in collector.sent:
        assert secret.encode() not in record.value


@pytest.mark.parametrize("secret", SECRETS)
def test_no_header_and_no_target_carries_personal_data_to_the_log(secret: str) -> None:
    collector = Collector(peer="203.0.113.77")
    target = f"https://shop.example/?u={secret}"
    headers = {"user-agent": f"bot ({secret})", "referer": f"https://x.example/{secret}"}
    response = collector.get("/c", {"to": target, "sig": sign(target, LINK_KEY)}, headers=headers)
    assert response.headers["location"].startswith(target)
    ((record, _),) = collector.sent
    assert secret.encode() not in record.value


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("field", ["campaign", "visitor_id", "click_id", "lead_id", "form"])
def test_an_identifier_that_is_personal_is_refused(field: str, secret: str) -> None:
    assert field_of(Collector().post([{"kind": "lead", field: secret}])) == field
