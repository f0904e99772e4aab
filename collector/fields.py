"""The fields that a browser posts: a form's, or those of a JSON object."""

import json
from collections.abc import Mapping
from decimal import Decimal

from collector.context import Context
from collector.errors import FieldError, Refusal
from collector.request import Request, header, read_body, read_query

MAX_BODY_BYTES = 1 << 16
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"


async def read_fields(context: Context, request: Request, names: Mapping[str, str]) -> dict[str, str]:
    """Return the posted fields that ``names`` maps to ours, by ours; others are the page's own affair.

    Raises FieldError, Refusal (413, 415).
    """
    body = await read_body(request, min(MAX_BODY_BYTES, context.settings.max_body_bytes))
    media_type = header(request, b"content-type").partition(";")[0].strip().lower()
    if media_type == _FORM:
        return read_query(body, names)
    if media_type == _JSON:
        return _read_json(body, names)
    raise Refusal(415, "content-type", f"is neither {_FORM} nor {_JSON}", "content_type")


def _read_json(body: bytes, names: Mapping[str, str]) -> dict[str, str]:
    try:
        content = json.loads(body.decode(), parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise FieldError("body", "is not JSON", "body") from error
    if not isinstance(content, dict):
        raise FieldError("body", "is not a JSON object", "body")
    found: dict[str, str] = {}
    for name, value in content.items():
        field = names.get(name)
        if field is None or value is None or value == "":
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise FieldError(field, "is neither text nor a number")
        found.setdefault(field, str(value))
    return found
