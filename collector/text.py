"""Rules for the text in events: how long it may be, and which of it may name a person."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from collector.errors import FieldError
from collector.privacy import is_personal, recorded_url, scrub

IDENTIFIER_BYTES = 256
SHORT_BYTES = 512
URL_BYTES = 4096
USER_AGENT_CHARACTERS = 512

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EVENT_ID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", re.ASCII)
CONSENTS = ("granted", "denied", "unknown")


@dataclass(frozen=True, slots=True)
class TextRule:
    """At most ``limit`` bytes of UTF-8. Personal data is taken out of free text; in an identifier it is
    refused."""

    limit: int
    free: bool


_IDENTIFIER = TextRule(IDENTIFIER_BYTES, free=False)
_SHORT = TextRule(SHORT_BYTES, free=True)
_URL = TextRule(URL_BYTES, free=True)

RULES: Mapping[str, TextRule] = {
    **dict.fromkeys(
        ("visitor_id", "click_id", "lead_id", "external_id", "partner", "transaction_id"), _IDENTIFIER
    ),
    **dict.fromkeys(("campaign", "affiliate", "offer", "creative", "form", "goal"), _IDENTIFIER),
    **dict.fromkeys(("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"), _SHORT),
    **dict.fromkeys(("sub1", "sub2", "sub3", "sub4", "sub5"), _SHORT),
    **dict.fromkeys(("referrer", "landing_url"), _URL),
}


def clean(name: str, value: str) -> str:
    """Return ``value`` of the field ``name`` as it may go into an event. Raises FieldError; ``name`` is one
    of RULES.

    Letters and digits alone, as in most ids, can break no rule but that of length.
    """
    rule = RULES[name]
    if value.isalnum() and value.isascii() and len(value) <= rule.limit:
        return value
    plain(name, value, rule.limit)
    if rule.free:
        return scrub(value)
    if is_personal(value):
        raise FieldError(
            name, "holds an e-mail address, telephone number or IP address; send an id instead", "personal"
        )
    return value


def url(name: str, value: str, kept: frozenset[str]) -> str:
    """Return the URL ``value`` of the field ``name`` as it may go into an event: of its query the parameters ``kept``. Raises FieldError."""
    plain(name, value, RULES[name].limit)
    return scrub(recorded_url(value, kept))


def plain(name: str, value: str, limit: int) -> str:
    """Return ``value`` if it is UTF-8 text of at most ``limit`` bytes without control characters. Raises
    FieldError."""
    if not value.isascii() or len(value) > limit:
        try:
            length = len(value.encode())
        except UnicodeEncodeError as error:
            raise FieldError(name, "is not valid Unicode text") from error
        if length > limit:
            raise FieldError(name, f"is longer than {limit} bytes", "too_long")
    if not value.isprintable() and _CONTROL.search(value):
        raise FieldError(name, "has a control character")
    return value


def event_id(value: str) -> str:
    """Return ``value`` in lower case if it spells a UUID in 36 characters. Raises FieldError."""
    if _EVENT_ID.fullmatch(value) is None:
        raise FieldError("event_id", "is not a UUID of 36 characters", "event_id")
    return value.lower()


def consent(value: str) -> str:
    """Return the consent that ``value`` names, ``unknown`` if empty. Raises FieldError."""
    if not value:
        return "unknown"
    if value not in CONSENTS:
        raise FieldError("consent", "is not one of granted, denied, unknown")
    return value


@lru_cache(maxsize=8192)
def user_agent(value: str) -> str:
    """Return a browser's user agent without control characters and personal data, cut to its first 512
    characters.

    Nobody who sends an event chose it, so it is made to fit instead of refused.
    """
    return scrub(printable(value)[:USER_AGENT_CHARACTERS])


@lru_cache(maxsize=4096)
def browser_url(value: str, kept: frozenset[str]) -> str:
    """Return a URL that a browser sent by itself as it may go into an event, without control characters, cut to what fits."""
    return scrub(recorded_url(printable(value), kept).encode()[:URL_BYTES].decode(errors="ignore"))


def printable(value: str) -> str:
    """Return ``value`` without control characters and what is not valid Unicode."""
    if value.isascii() and value.isprintable():
        return value
    return _CONTROL.sub("", value.encode(errors="ignore").decode())
