"""Where a redirect may lead: targets we signed, or targets configured by name; nothing else.

The signature of a target is base64url (without padding) of HMAC-SHA256(key, ``"funnel-link-v1\\n" +
target``). It covers the target alone, so that whoever places the link may add campaign and sub parameters of
their own. Of a link that ends some day it covers that, too: ``"funnel-link-v1\\n" + exp + "\\n" + target``, with ``exp`` in whole seconds since
1970 UTC. No target has a line feed, so neither text is ever the other one.

A configured target may have macros in its query, ``{click_id}`` or ``{sub1}``, which become what the click has there. Nowhere else: a host that
senders fill in would be an open redirect.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from collector.errors import FieldError
from collector.text import URL_BYTES

CLICK_PARAMETER = "funnel_click"
LEAD_PARAMETER = "funnel_lead"
_CONTEXT = "funnel-link-v1\n"
MACROS = frozenset(
    (
        "click_id",
        "visitor_id",
        "external_id",
        "campaign",
        "affiliate",
        "offer",
        "creative",
        "sub1",
        "sub2",
        "sub3",
        "sub4",
        "sub5",
    )
)
_MACRO = re.compile(r"\{([^{}]*)\}")
_UNSAFE = re.compile(r"[^\x21-\x7e]|[\\\"<>^`{|}]")


def sign(target: str, key: str, expires: str = "") -> str:
    """Return the signature of ``target`` under ``key``; ``expires`` in whole seconds since 1970, empty for a link without an end."""
    signed = f"{_CONTEXT}{expires}\n{target}" if expires else _CONTEXT + target
    digest = hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_signed(target: str, signature: str, keys: Sequence[str], expires: str = "") -> bool:
    """Return whether ``signature`` (padded or not) is that of ``target`` and ``expires`` under one of ``keys``; compares in
    constant time."""
    given = signature.rstrip("=").encode()
    matches = False
    for key in keys:
        matches |= hmac.compare_digest(sign(target, key, expires).encode(), given)
    return matches


def check_target(target: str, field: str = "to") -> str:
    """Return ``target`` if a browser may be sent there: an absolute http or https URL without userinfo.

    Characters outside of printable ASCII must be percent-encoded. Raises FieldError naming ``field``.
    """
    if len(target) > URL_BYTES:
        raise FieldError(field, f"is longer than {URL_BYTES} bytes", "too_long")
    if _UNSAFE.search(target):
        raise FieldError(field, "has a character that must be percent-encoded", "target")
    try:
        parts = urlsplit(target)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise FieldError(field, "is not a URL", "target") from error
    if parts.scheme not in ("http", "https") or not target.lower().startswith(("http://", "https://")):
        raise FieldError(field, "is not an http or https URL", "target")
    if not parts.hostname or not port_is_valid or "@" in parts.netloc:
        raise FieldError(field, "needs a host and may not carry a user name", "target")
    return target


def check_template(template: str, field: str) -> str:
    """Return ``template`` if it is a target whose query may have macros. Raises FieldError naming ``field``."""
    base, question, query = template.partition("?")
    unknown = next((name for name in _MACRO.findall(query) if name not in MACROS), None)
    if unknown is not None:
        raise FieldError(field, f"has {{{unknown}}}, which is none of {', '.join(sorted(MACROS))}", "target")
    check_target(base + question + _MACRO.sub("", query), field)
    return template


def macros_of(template: str) -> frozenset[str]:
    """Return the names of the macros in a template."""
    return frozenset(_MACRO.findall(template)) if "{" in template else frozenset()


def expand(template: str, values: Mapping[str, str]) -> str:
    """Return ``template`` with each macro replaced by its value, percent-encoded; by nothing where it has none."""
    return _MACRO.sub(lambda macro: quote(values.get(macro[1], ""), safe=""), template)


def choose_target(query: Mapping[str, str], links: Mapping[str, str], keys: Sequence[str], now: int) -> str:
    """Return the target, which may have macros, that the query of a click names by ``link``, or by ``to`` and
    ``sig`` (and ``exp``, which must not be over at ``now``, ms UTC). Raises FieldError."""
    name, target = query.get("link", ""), query.get("to", "")
    if name and target:
        raise FieldError("link", "names a target beside that of to; send one of them", "target")
    if name:
        if name not in links:
            raise FieldError("link", "is not a configured link", "target")
        return links[name]
    if not target:
        raise FieldError("to", "is missing: name a target by to and sig, or by link", "missing")
    check_target(target)
    expires = query.get("exp", "")
    if expires and not (expires.isascii() and expires.isdigit() and len(expires) <= 12):
        raise FieldError("exp", "is not a time in whole seconds since 1970", "invalid")
    if not is_signed(target, query.get("sig", ""), keys, expires):
        raise FieldError("sig", "is not the signature of to" + (" and exp" if expires else ""), "signature")
    if expires and now >= int(expires) * 1000:
        raise FieldError("exp", "is over: the link has expired", "expired")
    return target


def with_parameters(target: str, parameters: Mapping[str, str], *, replace: bool) -> str:
    """Return ``target`` with ``parameters`` (URL-safe already) in its query, before any fragment.

    One that ``target`` has already is replaced, or with ``replace`` false left as it is.
    """
    base, hash_sign, fragment = target.partition("#")
    path, _, query = base.partition("?")
    pairs = [
        pair for pair in query.split("&") if pair and not (replace and pair.partition("=")[0] in parameters)
    ]
    present = {pair.partition("=")[0] for pair in pairs}
    pairs += [f"{name}={value}" for name, value in parameters.items() if name not in present]
    return f"{path}?{'&'.join(pairs)}{hash_sign}{fragment}" if pairs else target


def load_links(path: Path) -> dict[str, str]:
    """Return the redirect targets of a JSON file, ``{"name": "https://…"}``; their queries may have macros.

    Raises ValueError, which names the link whose target is not fit, OSError.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or not all(isinstance(target, str) for target in content.values()):
        raise ValueError(f"{path}: not a JSON object of names and URLs")
    try:
        return {name: check_template(target, name) for name, target in content.items()}
    except FieldError as error:
        raise ValueError(f"{path}: link {error.field!r} {error.message}") from error
