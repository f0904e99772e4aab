"""The file of partners: what it may say, and how its mistakes are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from collector.partners import Partner, expand, load_partners

GOOD: dict[str, Any] = {
    "fields": {"transaction_id": "{order}", "status": "{state}", "currency": "EUR", "sub1": "{a}/{b}"},
    "statuses": {"Confirmed ": "approved"},
    "secrets": ["sixteen-characters"],
}


def loaded(tmp_path: Path, content: object) -> dict[str, Partner]:
    path = tmp_path / "partners.json"
    path.write_text(json.dumps(content))
    return load_partners(path)


def test_a_partner_as_it_is_described(tmp_path: Path) -> None:
    described = GOOD | {"tokens": ["another-long-token"], "addresses": ["192.0.2.0/24", "2001:db8::1"]}
    partner = loaded(tmp_path, {"acme": described})["acme"]
    assert partner.fields == GOOD["fields"]
    assert partner.statuses == {"confirmed": "approved"}
    assert [str(network) for network in partner.addresses] == ["192.0.2.0/24", "2001:db8::1/128"]
    assert partner.parameters() == {"order", "state", "a", "b"}
    assert "sixteen" not in repr(partner) and "another" not in repr(partner)


def test_templates_are_filled_or_left_out(tmp_path: Path) -> None:
    partner = loaded(tmp_path, {"acme": GOOD})["acme"]
    assert expand(partner, {"order": "{state}", "state": " CONFIRMED", "a": "1", "b": ""}) == {
        "transaction_id": "{state}",
        "status": "approved",
        "currency": "EUR",
    }
    assert expand(partner, {"state": "new", "a": "1", "b": "2"}) == {
        "status": "new",
        "currency": "EUR",
        "sub1": "1/2",
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"secrets": []}, "needs secrets"),
        ({"secrets": ["short"]}, "shorter than 16"),
        ({"secrets": ["x" * 16, "y" * 16, "z" * 16]}, "more than 2"),
        ({"secrets": "sixteen-characters"}, "not a list"),
        ({"tokens": ["another-long-token"]}, "go together"),
        ({"addresses": ["192.0.2.0/24"]}, "go together"),
        ({"tokens": ["another-long-token"], "addresses": ["nowhere"]}, "addresses: 'nowhere'"),
        ({"tokens": ["another-long-token"], "addresses": "192.0.2.0/24"}, "list of networks"),
        ({"fields": {"transaction_id": "{order}"}}, "template for status"),
        ({"fields": {"status": "approved"}}, "template for transaction_id"),
        ({"fields": GOOD["fields"] | {"colour": "{c}"}}, "'colour' is not a field"),
        ({"fields": GOOD["fields"] | {"goal": "{token}"}}, "'token' is ours"),
        ({"fields": GOOD["fields"] | {"goal": 7}}, "fields is not an object of texts"),
        ({"statuses": {"ok": "fine"}}, "'fine' is not one of"),
        ({"colour": "red"}, "is not an object with"),
    ],
)
def test_a_mistake_is_named_with_its_partner_and_without_secrets(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=r"^partner 'acme': ") as caught:
        loaded(tmp_path, {"acme": GOOD | change})
    assert message in str(caught.value)
    for secret in ("short-", "xxxx", "sixteen", "another"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("content", [[], {"": GOOD}, {"a\n": GOOD}, {"acme": []}])
def test_other_content_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(ValueError, match=r"partner|not a JSON object"):
        loaded(tmp_path, content)
