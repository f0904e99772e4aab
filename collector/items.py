"""Events of all kinds out of the items of a batch."""

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from collector import text, values
from collector.errors import FieldError
from collector.events import Event
from collector.minting import Minter
from collector.privacy import Privacy, hash_email, hash_phone, truncate_ip
from schemas.bounds import DEFAULTS, Bounds
from schemas.ids import route_of

CONVERSION_NAMESPACE = uuid.UUID("6f1c1d56-5f0e-5d0b-9a57-2f4a4c3ab3f1")
_HASH_LENGTH = 64
_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_SUBS = ("sub1", "sub2", "sub3", "sub4", "sub5")
_URLS = ("referrer", "landing_url")
_TEXT = ("visitor_id", "campaign", "affiliate", "offer", "creative", *_UTM, *_SUBS)
_OWN_TEXT: Mapping[str, tuple[str, ...]] = {
    "impression": (),
    "click": ("click_id", "external_id"),
    "lead": ("click_id", "lead_id", "form"),
    "conversion": ("click_id", "lead_id", "partner", "transaction_id", "goal"),
}
_COMMON = frozenset(("kind", "event_id", "occurred_at", "ip", "user_agent", "consent", *_TEXT, *_URLS))
_MONEY = ("value", "value_micros", "currency")
FIELDS: Mapping[str, frozenset[str]] = {
    "impression": _COMMON,
    "click": _COMMON | {*_OWN_TEXT["click"]},
    "lead": _COMMON | {*_OWN_TEXT["lead"], "email", "email_hash", "phone", "phone_hash", *_MONEY},
    "conversion": _COMMON
    | {*_OWN_TEXT["conversion"], "status", "status_at", "payout", "payout_micros", *_MONEY},
}
Item = Mapping[str, object]


def read_item(
    item: object, received_at: int, privacy: Privacy, minter: Minter, bounds: Bounds = DEFAULTS
) -> Event:
    """Return the event that an item of a batch, as JSON gave it, describes.

    Numbers must have been read as int or Decimal. Ids that are left out are minted on the route of the item's
    visitor (or click); a conversion's event id follows from its partner, transaction, status and the time of the status. Raises
    FieldError.
    """
    if not isinstance(item, Mapping):
        raise FieldError("events", "is not an object")
    kind = item.get("kind")
    if not isinstance(kind, str) or kind not in FIELDS:
        raise FieldError("kind", "is not one of impression, click, lead, conversion")
    unknown = next((name for name in item if name not in FIELDS[kind]), None)
    if unknown is not None:
        raise FieldError(unknown[: text.IDENTIFIER_BYTES], f"is not a field of a {kind}", "unknown_field")
    record = _common(kind, item, received_at, privacy, bounds)
    if kind == "conversion":
        return Event(kind, _conversion(item, record, received_at, bounds))
    return Event(kind, _touch(kind, item, record, privacy, minter, bounds))


def _text(item: Item, name: str) -> str:
    value = item.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise FieldError(name, "is not text")
    return value


def _common(kind: str, item: Item, received_at: int, privacy: Privacy, bounds: Bounds) -> dict[str, Any]:
    record: dict[str, Any] = {
        "received_at": received_at,
        "ip": _network(_text(item, "ip")),
        "user_agent": text.user_agent(_text(item, "user_agent")),
        "event_id": text.event_id(_text(item, "event_id")) if item.get("event_id") else "",
        "occurred_at": _time(item, "occurred_at", received_at, received_at, bounds),
        "consent": text.consent(_text(item, "consent")),
    }
    for name in (*_TEXT, *_OWN_TEXT[kind]):
        record[name] = text.clean(name, value) if (value := _text(item, name)) else ""
    for name in _URLS:
        record[name] = text.url(name, _text(item, name), privacy.query_parameters)
    return record


def _network(address: str) -> str:
    network = truncate_ip(address)
    if address and not network:
        raise FieldError("ip", "is not an IP address")
    return network


def _time(item: Item, name: str, default: int, received_at: int, bounds: Bounds) -> int:
    value = item.get(name)
    return default if value is None else values.time_ms(name, value, received_at, bounds)


def _touch(
    kind: str, item: Item, record: dict[str, Any], privacy: Privacy, minter: Minter, bounds: Bounds
) -> dict[str, Any]:
    record["event_id"] = record["event_id"] or minter.event_id()
    if not record["visitor_id"]:
        named_click = record.get("click_id", "")
        record["visitor_id"] = minter.mint(route_of(named_click) if named_click else None)
    own_id = {"click": "click_id", "lead": "lead_id"}.get(kind)
    if own_id and not record[own_id]:
        record[own_id] = minter.mint(route_of(record["visitor_id"]))
    if kind == "lead":
        record["email_hash"] = _hash(item, "email", lambda address: hash_email(address, privacy.key))
        record["phone_hash"] = _hash(item, "phone", lambda number: hash_phone(number, privacy))
        record["value"] = _amount(item, "value", bounds) or 0
        record["currency"] = values.currency(_text(item, "currency"), record["value"])
    return record


def _hash(item: Item, name: str, hashed: Callable[[str], str]) -> str:
    value, given = _text(item, name), _text(item, f"{name}_hash")
    if value and given:
        raise FieldError(f"{name}_hash", f"stands beside {name}; send one of them")
    if value:
        return hashed(value)
    if given and (len(given) != _HASH_LENGTH or not set(given) <= set("0123456789abcdef")):
        raise FieldError(f"{name}_hash", "is not 64 lower-case hexadecimal digits")
    return given


def _amount(item: Item, name: str, bounds: Bounds) -> int | None:
    units, micros = item.get(name), item.get(f"{name}_micros")
    if units is not None and micros is not None:
        raise FieldError(f"{name}_micros", f"stands beside {name}; send one of them", "amount")
    if units is not None:
        return values.micros(name, units, bounds)
    return None if micros is None else values.whole_micros(f"{name}_micros", micros, bounds)


def _conversion(item: Item, record: dict[str, Any], received_at: int, bounds: Bounds) -> dict[str, Any]:
    for name in ("partner", "transaction_id"):
        if not record[name]:
            raise FieldError(name, "is missing", "missing")
    record["status"] = values.status(_text(item, "status"))
    record["status_at"] = _time(item, "status_at", record["occurred_at"], received_at, bounds)
    record["value"], record["payout"] = (_amount(item, name, bounds) for name in ("value", "payout"))
    record["currency"] = values.currency(_text(item, "currency"), record["value"], record["payout"])
    if not record["event_id"]:
        told = record["partner"], record["transaction_id"], record["status"], str(record["status_at"])
        identity = "\x00".join(told)
        record["event_id"] = str(uuid.uuid5(CONVERSION_NAMESPACE, identity))
    return record
