"""The endpoint that sites call when somebody logs in: the visitor belongs to whoever has that user id, on every device."""

import hashlib
import hmac
from collections.abc import Mapping
from functools import cache

from collector.context import Context, deliver
from collector.errors import FieldError
from collector.events import Event
from collector.fields import read_fields
from collector.live import answer_headers
from collector.request import Request, Response, json_response
from collector.text import IDENTIFIER_BYTES
from collector.touches import live_touch, parameters
from schemas.ids import hop_id, route_of

_DAY_MS = 86_400_000


async def identify(context: Context, request: Request) -> Response:
    """``POST /identify``: claim a user id for a visitor. Nothing is recorded where the visitor objects.

    The id itself goes no further: what is sent is its keyed hash. The same claim again on the same day is a duplicate. Raises FieldError,
    Refusal (413, 415), Unavailable.
    """
    fields = await read_fields(context, request, _names())
    key = f"user {hash_user(fields.get('user_id', ''), context.privacy.key)}"
    touch, is_new = live_touch(context, request, fields, "")
    if touch["consent"] == "denied":
        return json_response(200, {"status": "ignored"})
    visitor, day = touch["visitor_id"], request.received_at - request.received_at % _DAY_MS
    event = Event(
        "link",
        {
            "received_at": request.received_at,
            "event_id": hop_id("claim", day, visitor, key),
            "purpose": "claim",
            "occurred_at": day,
            "route": route_of(key),
            "visitor_id": visitor,
            "identity_key": key,
        },
    )
    await deliver(context, event)
    answer = {"status": "accepted", "event_id": event.event_id, "visitor_id": visitor}
    return json_response(200, answer, answer_headers(context, event, is_new))


def hash_user(user_id: str, key: str) -> str:
    """Return the keyed hash (HMAC-SHA256, hex) of a user id; it is no address's, whatever the id looks like. Raises FieldError."""
    if not user_id.strip():
        raise FieldError("user_id", "is missing", "missing")
    if len(user_id.encode(errors="surrogatepass")) > IDENTIFIER_BYTES:
        raise FieldError("user_id", f"is longer than {IDENTIFIER_BYTES} bytes", "too_long")
    if not key:
        raise FieldError("user_id", "this collector has no key to hash user ids with (FUNNEL_EMAIL_KEY)")
    named = b"user\0" + user_id.strip().encode(errors="surrogatepass")
    return hmac.new(key.encode(), named, hashlib.sha256).hexdigest()


@cache
def _names() -> Mapping[str, str]:
    return {**parameters(), "user_id": "user_id"}
