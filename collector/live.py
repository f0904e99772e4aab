"""The endpoints that browsers call: the impression pixel and the click redirect."""

from urllib.parse import quote

from collector.context import Context, deliver
from collector.errors import FieldError
from collector.events import Event
from collector.fields import read_fields
from collector.links import (
    CLICK_PARAMETER,
    check_target,
    choose_target,
    expand,
    macros_of,
    with_parameters,
)
from collector.request import Header, Request, Response, read_query
from collector.settings import CollectorSettings
from collector.text import clean
from collector.touches import COOKIE, click, impression, parameters, with_ad_click_ids

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
EVENT_ID_HEADER = b"x-funnel-event-id"
_NO_STORE: Header = (b"cache-control", b"no-store")
_GIF_TYPE: Header = (b"content-type", b"image/gif")
_DAY_SECONDS = 86_400
_RECORDED = ("click_id", "visitor_id", "external_id")


async def pixel(context: Context, request: Request) -> Response:
    """``GET /i.gif``, or ``POST`` with the parameters as a form: record an impression, answer with a transparent
    pixel. Raises FieldError, Refusal (413, 415), Unavailable."""
    if request.method == "POST":
        query = await read_fields(context, request, parameters())
    else:
        query = read_query(request.query_string, parameters())
    event, is_new = impression(context, request, query)
    await deliver(context, event)
    return Response(200, [_GIF_TYPE, *answer_headers(context, event, is_new)], GIF)


async def redirect(context: Context, request: Request) -> Response:
    """``GET /c`` and ``GET /c/<link>``: record a click and redirect to its target, with the click's id. Raises
    FieldError, Unavailable."""
    query = read_query(request.query_string, parameters())
    if request.tail:
        if "link" in query:
            raise FieldError("link", "stands beside the link in the path; send one of them", "target")
        query["link"] = request.tail
    chosen = choose_target(query, context.settings.links, context.settings.link_keys, request.received_at)
    template = with_ad_click_ids(chosen, query)
    # As they are recorded: what does not go into Kafka does not go to the target either.
    known = {name: clean(name, query[name]) for name in macros_of(template) if name in query}
    event, is_new = click(context, request, query, check_target(expand(template, known)))
    filled = expand(template, known | {name: event.record[name] for name in _RECORDED})
    location = with_parameters(
        check_target(filled), {CLICK_PARAMETER: quote(event.record["click_id"], safe="")}, replace=True
    )
    await deliver(context, event)
    return Response(302, [(b"location", location.encode()), *answer_headers(context, event, is_new)], b"")


def answer_headers(context: Context, event: Event, is_new: bool) -> list[Header]:
    """Return the headers of an answer that acknowledges ``event``; a new visitor is remembered."""
    headers = [_NO_STORE, (EVENT_ID_HEADER, event.event_id.encode())]
    if is_new:
        headers.append((b"set-cookie", _cookie(event.record["visitor_id"], context.settings)))
    return headers


def _cookie(visitor_id: str, settings: CollectorSettings) -> bytes:
    """A cookie that also comes back from other sites' pages needs SameSite=None, which browsers take only
    with Secure."""
    site = "SameSite=None; Secure" if settings.cookie_secure else "SameSite=Lax"
    age = settings.cookie_days * _DAY_SECONDS
    return f"{COOKIE}={visitor_id}; Max-Age={age}; Path=/; HttpOnly; {site}".encode()
