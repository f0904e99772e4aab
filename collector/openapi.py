"""The collector's OpenAPI document: what it takes and answers, for people and for machines. `GET /openapi.json` serves it."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from typing import Any

from collector.items import FIELDS
from collector.partners import RESERVED
from collector.text import CONSENTS, RULES, URL_BYTES
from collector.touches import parameters
from collector.values import STATUSES
from schemas.bounds import WIDEST

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_UUID: Json = {"type": "string", "format": "uuid"}
_LIMIT = "The collector may have a lower limit"
_AMOUNT: Json = {
    "type": "string",
    "pattern": r"^\d{1,9}(\.\d{1,6})?$",
    "description": f"Currency units. {_LIMIT}",
}
_TIME: Json = {
    "description": "ISO 8601 with Z or an offset, or ms since 1970",
    "anyOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": 946_684_800_000, "maximum": 2**53},
    ],
}
_SPECIAL: Mapping[str, Json] = {
    "event_id": _UUID | {"description": "So that a repetition counts once"},
    "consent": {"type": "string", "enum": list(CONSENTS)},
    "status": {"type": "string", "enum": list(STATUSES)},
    "currency": {"type": "string", "pattern": "^[A-Za-z]{3}$", "description": "ISO 4217"},
    "occurred_at": _TIME,
    "status_at": _TIME,
    "user_id": _TEXT
    | {
        "minLength": 1,
        "maxLength": 256,
        "description": "Your id of whoever logged in. Hashed with a key; it goes no further",
    },
    "email": {"type": "string", "format": "email", "description": "Hashed with a key; it goes no further"},
    "phone": _TEXT | {"description": "With country code. Hashed with a key; it goes no further"},
    **{key: {"type": "string", "pattern": "^[0-9a-f]{64}$"} for key in ("email_hash", "phone_hash")},
    **dict.fromkeys(("value", "payout"), _AMOUNT),
    **{
        key: {"type": "integer", "minimum": 0, "maximum": WIDEST.micros, "description": _LIMIT}
        for key in ("value_micros", "payout_micros")
    },
    "to": {"type": "string", "format": "uri", "maxLength": URL_BYTES, "description": "A target we signed"},
    "sig": _TEXT | {"description": "Its signature"},
    "exp": {
        "type": "integer",
        "minimum": 0,
        "description": "When the link ends, in seconds since 1970; signed with to",
    },
    "link": _TEXT | {"description": "Instead of to and sig: a configured target's name"},
    "ip": _TEXT | {"description": "The visitor's; cut to its network"},
    "user_agent": _TEXT,
}
_REFUSALS: Mapping[int, str] = {
    400: "Refused; the field says why",
    401: "No token, or one that is not known",
    403: "The caller is not who it says",
    404: "Not served here",
    408: "The body took too long",
    413: "The body is too large",
    415: "Not a content type or encoding that is read",
    429: "Too many requests; Retry-After says when to send again",
    503: "Not acknowledged by the broker; Retry-After says when to send again",
}
_EVENT_ID: Json = {
    "X-Funnel-Event-Id": {"description": "The broker has the event", "required": True, "schema": _UUID}
}


@cache
def document() -> Json:
    """Return the document. It is the same for every collector of this version."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "funnel collector",
            "version": metadata.version("funnel"),
            "description": "A success means that the broker has the event: all in-sync replicas have acknowledged it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(),
        "components": {
            "schemas": {"Error": _ERROR, "Event": {"oneOf": [_item(kind) for kind in FIELDS]}},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _paths() -> Json:
    queried = [_parameter(name) for name in _live_names()]
    targets = [_parameter(name) for name in ("to", "sig", "exp", "link")]
    click = [_parameter(name) for name in ("click_id", "external_id")]
    link: Json = {"name": "link", "in": "path", "required": True, "schema": _TEXT}
    return {
        "/i.gif": {
            "get": _operation(
                "Record an impression", {200: _answer("image/gif", _EVENT_ID)}, (400, 429, 503), queried
            ),
            "post": _operation(
                "Record an impression",
                {200: _answer("image/gif", _EVENT_ID)},
                (400, 408, 413, 415, 429, 503),
                body=_body({"type": "object", "properties": {name: _schema(name) for name in _live_names()}}),
            ),
        },
        "/c": {
            "get": _operation(
                "Record a click and redirect", {302: _REDIRECT}, (400, 429, 503), [*queried, *click, *targets]
            )
        },
        "/c/{link}": {
            "get": _operation(
                "Record a click and redirect to a configured target",
                {302: _REDIRECT},
                (400, 404, 429, 503),
                [link, *queried, *click],
            )
        },
        "/lead": {"post": _lead()},
        "/identify": {"post": _identify()},
        "/postback": {
            "get": _postback([_parameter(name, _TEXT) for name in RESERVED]),
            "post": _postback([_parameter("partner", _TEXT)], _body({"type": "object"}), (408, 413, 415)),
        },
        "/events": {"post": _events()},
        "/funnel.js": {
            "get": _operation("The snippet for pages", {200: _answer("text/javascript"), 304: _KNOWN}, (429,))
        },
        "/healthz": {"get": _operation("Whether the process answers", {200: _STATUS}, ())},
        "/readyz": {
            "get": _operation("Whether events are taken, and who keeps them", {200: _READY, 503: _STATUS}, ())
        },
        "/openapi.json": {"get": _operation("This document", {200: _answer("application/json")}, ())},
    }


def _live_names() -> list[str]:
    others = {"to", "sig", "exp", "link", "click_id", "external_id"}
    return sorted(name for name, field in parameters().items() if field not in others)


def _lead() -> Json:
    own = ("click_id", "lead_id", "form", "email", "phone", "value", "currency", "to", "sig", "exp", "link")
    fields = {name: _schema(name) for name in (*_live_names(), *own)}
    accepted = _answer(
        "application/json", _EVENT_ID, _object(status=_TEXT, event_id=_UUID, visitor_id=_TEXT, lead_id=_TEXT)
    )
    return _operation(
        "Record a lead",
        {200: accepted, 303: _REDIRECT},
        (400, 408, 413, 415, 429, 503),
        body=_body({"type": "object", "properties": fields}),
    )


def _identify() -> Json:
    fields = {name: _schema(name) for name in (*_live_names(), "user_id")}
    accepted = _answer(
        "application/json",
        None,
        _object(status=_TEXT) | {"description": "accepted, or ignored where the visitor objects"},
    )
    return _operation(
        "Say who a visitor has logged in as",
        {200: accepted},
        (400, 408, 413, 415, 429, 503),
        body=_body({"type": "object", "properties": fields, "required": ["user_id"]}),
    )


def _postback(queried: list[Json], body: Json | None = None, more: Iterable[int] = ()) -> Json:
    accepted = _answer(
        "application/json", _EVENT_ID, _object(status=_TEXT, event_id=_UUID, postback_id=_UUID)
    )
    return _operation(
        "Report a conversion in a partner's words",
        {200: accepted},
        (400, 403, 429, 503, *more),
        queried,
        body,
    )


def _events() -> Json:
    batch = {
        "type": "object",
        "required": ["events"],
        "properties": {
            "events": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Event"}}
        },
    }
    outcome = _answer("application/json", None, _object(items={"type": "array", "items": {"type": "object"}}))
    answers = {
        200: outcome | {"description": "All accepted"},
        207: outcome | {"description": "Some accepted"},
    }
    operation = _operation(
        "Record a batch of events of all kinds",
        answers,
        (400, 401, 408, 413, 415, 429),
        body={"required": True, "content": {"application/json": {"schema": batch}}},
    )
    operation["responses"]["503"] = {
        "description": "Not all acknowledged: the items say which, or none was taken",
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
    return operation | {"security": [{"token": []}]}


def _item(kind: str) -> Json:
    fields: Json = {name: _schema(name) for name in sorted(FIELDS[kind]) if name != "kind"}
    required = ["kind", *(("partner", "transaction_id", "status") if kind == "conversion" else ())]
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": {"kind": {"const": kind}, **fields},
    }


def _schema(name: str) -> Json:
    field = parameters().get(name, name)
    if field in _SPECIAL:
        return _SPECIAL[field]
    return _TEXT | {"maxLength": RULES[field].limit} if field in RULES else _TEXT


def _parameter(name: str, schema: Json | None = None) -> Json:
    return {"name": name, "in": "query", "schema": schema or _schema(name)}


def _body(schema: Json) -> Json:
    types = ("application/x-www-form-urlencoded", "application/json")
    return {"required": True, "content": {media_type: {"schema": schema} for media_type in types}}


def _object(**properties: Json) -> Json:
    return {"type": "object", "required": list(properties), "properties": properties}


def _answer(media_type: str, headers: Json | None = None, schema: Json | None = None) -> Json:
    content = {media_type: {"schema": schema} if schema else {}}
    return {"description": "Done", "content": content} | ({"headers": headers} if headers else {})


def _operation(
    summary: str,
    answers: Mapping[int, Json],
    refusals: Iterable[int],
    queried: list[Json] | None = None,
    body: Json | None = None,
) -> Json:
    responses = {status: _refusal(status) for status in refusals} | dict(answers)
    operation: Json = {
        "summary": summary,
        "responses": {str(status): responses[status] for status in sorted(responses)},
    }
    return operation | ({"parameters": queried} if queried else {}) | ({"requestBody": body} if body else {})


def _refusal(status: int) -> Json:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {"description": _REFUSALS[status], "content": content}


_ERROR = _object(error=_object(field=_TEXT, message=_TEXT))
_STATUS = _answer("application/json", None, _object(status=_TEXT))
_READY = _answer("application/json", None, _object(status=_TEXT, kept_by=_TEXT))
_KNOWN: Json = {"description": "If-None-Match names what is served"}
_REDIRECT: Json = {
    "description": "Done; the browser goes on",
    "headers": {**_EVENT_ID, "Location": {"required": True, "schema": {"type": "string"}}},
}
