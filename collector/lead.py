"""The endpoint that forms call: one lead, from a browser's form or as JSON."""

from collections.abc import Mapping
from functools import cache
from urllib.parse import quote

from collector import values
from collector.context import Context, deliver
from collector.events import Event
from collector.fields import read_fields
from collector.links import (
    CLICK_PARAMETER,
    LEAD_PARAMETER,
    check_target,
    choose_target,
    expand,
    with_parameters,
)
from collector.live import answer_headers
from collector.privacy import hash_email, hash_phone
from collector.request import Request, Response, json_response
from collector.text import clean
from collector.touches import live_touch, parameters
from schemas.ids import route_of

_OWN = ("lead_id", "form", "email", "phone", "value", "currency")


async def lead(context: Context, request: Request) -> Response:
    """``POST /lead``: record a lead; redirect (303) where the form names a target, else answer its ids as JSON.

    Raises FieldError, Refusal (413, 415), Unavailable.
    """
    fields = await read_fields(context, request, _names())
    # Before anything is recorded: whoever gets an error sends the form again.
    template = _target(context, fields, request.received_at)
    event, is_new = _event(context, request, fields)
    location = _location(template, event, fields) if template else ""
    await deliver(context, event)
    headers = answer_headers(context, event, is_new)
    if location:
        return Response(303, [(b"location", location.encode()), *headers], b"")
    ids = {name: event.record[name] for name in ("event_id", "visitor_id", "lead_id")}
    return json_response(200, {"status": "accepted", **ids}, headers)


@cache
def _names() -> Mapping[str, str]:
    return {**parameters(), **{name: name for name in _OWN}, CLICK_PARAMETER: "click_id"}


def _target(context: Context, fields: Mapping[str, str], now: int) -> str:
    if not fields.keys() & {"link", "to"}:
        return ""
    return choose_target(fields, context.settings.links, context.settings.link_keys, now)


def _event(context: Context, request: Request, fields: Mapping[str, str]) -> tuple[Event, bool]:
    record, is_new = live_touch(context, request, fields, fields.get("landing_url", ""))
    for name in ("click_id", "lead_id", "form"):
        record[name] = clean(name, fields[name]) if name in fields else ""
    record["lead_id"] = record["lead_id"] or context.minter.mint(route_of(record["visitor_id"]))
    record["email_hash"] = hash_email(fields["email"], context.privacy.key) if "email" in fields else ""
    record["phone_hash"] = hash_phone(fields["phone"], context.privacy) if "phone" in fields else ""
    record["value"] = (
        values.micros("value", fields["value"], context.settings.bounds) if "value" in fields else 0
    )
    record["currency"] = values.currency(fields.get("currency", ""), record["value"])
    return Event("lead", record), is_new


def _location(template: str, event: Event, fields: Mapping[str, str]) -> str:
    known = {name: clean(name, value) for name, value in fields.items() if f"{{{name}}}" in template}
    known["visitor_id"] = event.record["visitor_id"]
    own = {LEAD_PARAMETER: quote(event.record["lead_id"], safe="")}
    return with_parameters(check_target(expand(template, known)), own, replace=True)
