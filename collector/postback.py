"""The endpoint that partners' servers call: one conversion or its new status. Every call leaves a row that says what became of it."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import parse_qsl

from collector.context import Context, check_rate, deliver_postback
from collector.errors import FieldError, Refusal
from collector.events import Event
from collector.items import read_item
from collector.live import EVENT_ID_HEADER
from collector.partners import RESERVED, Partner, expand
from collector.privacy import scrub
from collector.request import (
    Header,
    Request,
    Response,
    client_address,
    client_network,
    error_response,
    header,
    json_response,
    read_body,
)
from collector.signing import SIGNATURE_HEADER, Claim, authenticate, read_signature_header
from collector.text import IDENTIFIER_BYTES, URL_BYTES, printable, user_agent

MAX_BODY_BYTES = 1 << 16
POSTBACK_ID_HEADER = b"x-funnel-postback-id"
FORBIDDEN = frozenset(("partner", "signature", "timestamp", "token", "address"))
"""Reasons that are answered with 403: who calls is not who it says."""
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_MOST_PARAMETERS = 200
_NO_STORE: Header = (b"cache-control", b"no-store")
_SECONDS_DIGITS = 11


class Call(NamedTuple):
    """What was sent: the body, and the parameters of query and form by name, of which the first with a name counts."""

    body: bytes
    parameters: Mapping[str, str]


class Decision(NamedTuple):
    """What is to become of a call: an event, or why there is none."""

    event: Event | None
    error: FieldError | Refusal | None


async def postback(context: Context, request: Request) -> Response:
    """``GET`` and ``POST /postback``: record what a partner reports.

    200 with the conversion's event id, which follows from partner, transaction, status and its time; 400 naming the field, or 403, with the id of
    the row that says so. Raises Unavailable: neither is certain, the partner sends it again; Refusal (429), which leaves no row.
    """
    call, decision = await _decide(context, request)
    postback_id = context.minter.event_id()
    row = Event("postback", _row(context, request, call, decision, postback_id))
    await deliver_postback(context, decision.event, row)
    return _answer(context, decision, postback_id)


def decide(context: Context, call: Call, claim: Claim, received_at: int) -> Event:
    """Return the event that a call describes. Raises FieldError; Refusal (429) where its partner calls too often."""
    name = call.parameters.get("partner", "")
    if not name:
        raise FieldError("partner", "is missing", "missing")
    partner = context.settings.partners.get(name)
    if partner is None:
        raise FieldError("partner", "is not known here", "partner")
    authenticate(partner, claim, received_at, context.settings.postback_tolerance_seconds)
    check_rate(context.key_rates, name)
    fields: dict[str, object] = {**expand(partner, call.parameters)}
    signed_at = int(claim.time) * 1000 if claim.signature else received_at
    # Sent again, byte by byte, it is the same event with the same content.
    fields.setdefault("occurred_at", signed_at)
    for moment in ("occurred_at", "status_at"):
        if moment in fields:
            fields[moment] = _milliseconds(fields[moment])
    item = {"kind": "conversion", "partner": partner.name, **fields}
    return read_item(item, received_at, context.privacy, context.minter, context.settings.bounds)


async def _decide(context: Context, request: Request) -> tuple[Call, Decision]:
    call = Call(b"", {})
    try:
        # The query first: if the body cannot be read, the row still says who called.
        call = Call(b"", _pairs(request.query_string))
        call = await _with_body(context, request, call)
        event = decide(context, call, _claim(context, request, call), request.received_at)
    except (FieldError, Refusal) as error:
        if error.reason == "rate":
            raise
        return call, Decision(None, error)
    return call, Decision(event, None)


async def _with_body(context: Context, request: Request, call: Call) -> Call:
    if request.method != "POST":
        return call
    body = await read_body(request, min(MAX_BODY_BYTES, context.settings.max_body_bytes))
    form = _form(header(request, b"content-type"), body) if body else {}
    return Call(body, {**form, **call.parameters})


def _form(content_type: str, body: bytes) -> dict[str, str]:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == _FORM:
        return _pairs(body)
    if media_type == _JSON:
        return _json_pairs(body)
    raise Refusal(415, "content-type", f"is neither {_FORM} nor {_JSON}", "content_type")


def _pairs(raw: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except UnicodeDecodeError as error:
        raise FieldError("query", "is not percent-encoded UTF-8") from error
    except ValueError as error:
        raise FieldError("query", f"has more than {_MOST_PARAMETERS} parameters", "too_large") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _json_pairs(body: bytes) -> dict[str, str]:
    try:
        content = json.loads(body.decode(), parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise FieldError("body", "is not JSON", "body") from error
    if not isinstance(content, dict) or len(content) > _MOST_PARAMETERS:
        raise FieldError("body", f"is not a JSON object of at most {_MOST_PARAMETERS} parameters", "body")
    return {
        name: value if isinstance(value, str) else str(value)
        for name, value in content.items()
        if isinstance(value, str | int | Decimal) and not isinstance(value, bool)
    }


def _claim(context: Context, request: Request, call: Call) -> Claim:
    moment, signature = read_signature_header(header(request, SIGNATURE_HEADER))
    scheme, _, bearer = header(request, b"authorization").partition(" ")
    return Claim(
        query=request.query_string,
        body=call.body,
        time=moment or call.parameters.get("ts", ""),
        signature=signature or call.parameters.get("sig", ""),
        token=bearer.strip() if scheme.lower() == "bearer" else call.parameters.get("token", ""),
        address=client_address(request, context.trusted_proxies),
    )


def _milliseconds(value: object) -> object:
    """A time as partners write it: ISO 8601, or seconds or milliseconds since 1970."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 15:
        return int(value) * (1000 if len(value) <= _SECONDS_DIGITS else 1)
    return value


def _row(
    context: Context, request: Request, call: Call, decision: Decision, postback_id: str
) -> dict[str, object]:
    partner = context.settings.partners.get(call.parameters.get("partner", ""))
    known = expand(partner, call.parameters) if partner is not None else {}
    row: dict[str, object] = {
        "received_at": request.received_at,
        "occurred_at": request.received_at,
        "event_id": postback_id,
        "ip": client_network(request, context.trusted_proxies),
        "user_agent": user_agent(header(request, b"user-agent")),
        "partner": _short(call.parameters.get("partner", "")),
        "transaction_id": _short(known.get("transaction_id", "")),
        "click_id": _short(known.get("click_id", "")),
        "verdict": "refused" if decision.error else "accepted",
        "request": describe(call.parameters, partner),
    }
    if decision.event is not None:
        row["conversion_id"] = decision.event.event_id
    if decision.error is not None:
        row["reason"] = decision.error.reason
        row["detail"] = f"{_short(decision.error.field)} {decision.error.message}"
    return row


def describe(parameters: Mapping[str, str], partner: Partner | None) -> str:
    """Return what was sent as text, a parameter a line: the values that the partner's templates read, of others the name."""
    read = partner.parameters() if partner is not None else frozenset()
    secret = {*partner.secrets, *partner.tokens} if partner is not None else set()
    lines = (
        f"{name}={value}" if name in read and value not in secret else f"{name} (not read)"
        for name, value in parameters.items()
        if name not in RESERVED
    )
    return "\n".join(map(_line, lines)).encode()[:URL_BYTES].decode(errors="ignore")


def _line(text: str) -> str:
    return scrub(printable(text))


def _short(text: str) -> str:
    return _line(text).encode()[:IDENTIFIER_BYTES].decode(errors="ignore")


def _answer(context: Context, decision: Decision, postback_id: str) -> Response:
    headers = [_NO_STORE, (POSTBACK_ID_HEADER, postback_id.encode())]
    if decision.event is not None:
        event_id = decision.event.event_id
        content = {"status": "accepted", "event_id": event_id, "postback_id": postback_id}
        return json_response(200, content, [*headers, (EVENT_ID_HEADER, event_id.encode())])
    error = decision.error
    assert error is not None, "no event, no error"
    context.metrics.rejected.labels(error.reason).inc()
    if isinstance(error, Refusal):
        return error_response(error.status, error.field, error.message, [*headers, *error.headers])
    status = 403 if error.reason in FORBIDDEN else 400
    return error_response(status, error.field, error.message, headers)
