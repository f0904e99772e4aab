"""The endpoint that servers call: a batch of events of all kinds, authenticated."""

import asyncio
import hmac
import json
import time
from decimal import Decimal
from hashlib import sha256
from typing import Any, NoReturn

from collector.context import Context, check_rate
from collector.errors import FieldError, Refusal, Unavailable
from collector.events import Event, to_record
from collector.items import read_item
from collector.request import Header, Request, Response, header, json_response, read_body

_MINTED_IDS = {
    "impression": ("visitor_id",),
    "click": ("visitor_id", "click_id"),
    "lead": ("visitor_id", "lead_id"),
    "conversion": (),
}


async def events(context: Context, request: Request) -> Response:
    """``POST /events``: 200 if all items were accepted, 207 if some, 400 if none; 503 if one that is valid
    was not acknowledged.

    Answers ``{"items": […]}`` in the order of the batch: ``{"event_id", "status": "accepted", ids…}``,
    ``{"error": {"index", "field", "message"}}``, or ``{"event_id", "status": "unavailable"}``. Raises
    Refusal, FieldError for the batch as a whole.
    """
    check_rate(context.key_rates, authorise(header(request, b"authorization"), context.token_digests))
    batch = parse_batch(
        await read_body(request, context.settings.max_body_bytes), context.settings.max_events
    )
    read = [_read(context, item, request.received_at) for item in batch]
    acknowledged = await _deliver(context, [entry for entry in read if isinstance(entry, Event)])
    outcomes = iter(acknowledged)
    items = [
        _error(index, entry) if isinstance(entry, FieldError) else _outcome(entry, next(outcomes))
        for index, entry in enumerate(read)
    ]
    for entry in read:
        if isinstance(entry, FieldError):
            context.metrics.rejected.labels(entry.reason).inc()
    return _answer(context, items, len(acknowledged), all(acknowledged))


def authorise(value: str, token_digests: tuple[bytes, ...]) -> str:
    """Check an Authorization header against the SHA-256 of the tokens, in constant time, and return the one that it has, in hexadecimal
    digits. Raises Refusal (401)."""
    scheme, _, token = value.partition(" ")
    given = sha256(token.strip().encode()).digest()
    known = False
    for digest in token_digests:
        known |= hmac.compare_digest(given, digest)
    if scheme.lower() != "bearer" or not known:
        challenge: Header = (b"www-authenticate", b"Bearer")
        raise Refusal(
            401, "authorization", "is not the bearer token of a sender", "unauthorized", (challenge,)
        )
    return given.hex()


def parse_batch(body: bytes, max_events: int) -> list[object]:
    """Return the items of a body: a JSON list, or an object with the list ``events``. Raises FieldError."""
    try:
        content = json.loads(body.decode(), parse_float=Decimal, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise FieldError("body", "nests too deep", "body") from error
    except ValueError as error:
        raise FieldError("body", "is not JSON", "body") from error
    items: Any = content.get("events") if isinstance(content, dict) else content
    if not isinstance(items, list) or not items:
        raise FieldError("events", "is not a list of events", "body")
    if len(items) > max_events:
        raise FieldError("events", f"has more than {max_events} items", "too_large")
    return items


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _read(context: Context, item: object, received_at: int) -> Event | FieldError:
    try:
        return read_item(item, received_at, context.privacy, context.minter, context.settings.bounds)
    except FieldError as error:
        return error


async def _deliver(context: Context, batch: list[Event]) -> list[bool]:
    """Send all events, then wait for all; whether each was acknowledged."""
    started = time.perf_counter()
    sent = [_send(context, event) for event in batch]
    acknowledged = [await _is_acknowledged(future) for future in sent]
    context.produce_seconds.observe(time.perf_counter() - started)
    for event, is_acknowledged in zip(batch, acknowledged, strict=True):
        if is_acknowledged:
            context.accepted[event.kind].inc()
    return acknowledged


def _send(context: Context, event: Event) -> asyncio.Future[None] | None:
    try:
        return context.producer.send(to_record(event, context.settings.topic_prefix))
    except Unavailable:
        return None


async def _is_acknowledged(future: asyncio.Future[None] | None) -> bool:
    if future is None:
        return False
    try:
        await future
    except Unavailable:
        return False
    return True


def _error(index: int, error: FieldError) -> dict[str, Any]:
    return {"error": {"index": index, "field": error.field, "message": error.message}}


def _outcome(event: Event, acknowledged: bool) -> dict[str, Any]:
    if not acknowledged:
        return {"event_id": event.event_id, "status": "unavailable"}
    ids = {name: event.record[name] for name in _MINTED_IDS[event.kind]}
    return {"event_id": event.event_id, "status": "accepted", **ids}


def _answer(context: Context, items: list[dict[str, Any]], valid: int, all_acknowledged: bool) -> Response:
    errors = [item["error"] for item in items if "error" in item]
    if not all_acknowledged:
        context.metrics.unavailable.inc()
        retry_after: Header = (b"retry-after", str(context.settings.retry_after_seconds).encode())
        return json_response(503, {"items": items}, (retry_after,))
    if not valid:
        return json_response(400, {"error": errors[0], "items": items})
    return json_response(207 if errors else 200, {"items": items})
