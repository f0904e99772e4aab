"""What keeps people out of the log: addresses cut, e-mails and telephone numbers hashed with a key, query parameters kept by a list,
personal data in free text taken out."""

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

import phonenumbers

from collector.errors import FieldError

REDACTED = "redacted"

_AT = r"(?:@|%(?:25)*40)"
_COLON = r"(?::|%(?:25)*3[Aa])"
_NAMES = ("mail", "tel", "phone", "mobile", "msisdn")
_NAMED = re.compile(
    r"(?i)(?<![a-z0-9])((?:e[-_]?mail|mail|phone|phone[-_]?number|telephone|mobile|msisdn|tel)(?:=|:|%(?:25)*3[da]))"
    r"(?=[^&#;\s])(?!redacted)(?:(?!%(?:25)*26)[^&#;,\s)])+"
)
_DOMAIN = re.compile(rf"{_AT}(?:[\w-]{{1,63}}\.)+(?:xn--[A-Za-z0-9-]{{1,59}}|[^\W\d_]{{2,63}})")
_LOCAL_END = re.compile(r"[\s/?#&=:;,<>()\[\]\"']|%(?:25)*(?:2[FfCc6]|3[DdFfAaBb])")
_IPV4 = re.compile(r"(?<!\d)(?<!\d\.)(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?!\d|\.\d)")
_IPV6 = re.compile(rf"(?<![\w:])(?:[0-9A-Fa-f]{{0,4}}{_COLON}){{2,7}}[0-9A-Fa-f]{{0,4}}(?![\w:])")
_PHONE = re.compile(r"(?:\+|%(?:25)*2[Bb])\d(?:(?:[ ().-]|%(?:25)*20)?\d){7,14}(?!\d)")
_LONGEST_LOCAL = 192
_USER = re.compile(r"^([a-z][a-z0-9+.-]*://|//)[^/]*@", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Privacy:
    """What an operator decides. The key does not show in ``repr``.

    ``key``: of the hashes of e-mail addresses and telephone numbers; without it both are refused. ``phone_region``: the country (ISO 3166-1
    alpha-2) whose numbers may be written without their country code; empty: none. ``query_parameters``: names (lower case) of the parameters that
    a recorded URL keeps.
    """

    key: str = field(default="", repr=False)
    phone_region: str = ""
    query_parameters: frozenset[str] = frozenset()


def hash_phone(number: str, privacy: Privacy) -> str:
    """Return the keyed hash (HMAC-SHA256, hex) of a telephone number in its international form (E.164).

    Raises FieldError where ``number`` has no form of one, or where there is no key to hash it with.
    """
    try:
        parsed = phonenumbers.parse(number, privacy.phone_region or None)
    except phonenumbers.NumberParseException as error:
        raise FieldError("phone", "is not a telephone number with its country code") from error
    if not phonenumbers.is_possible_number(parsed):
        raise FieldError("phone", "is not a telephone number that can be")
    if not privacy.key:
        raise FieldError("phone", "this collector has no key to hash telephone numbers with; send phone_hash")
    normal = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return hmac.new(privacy.key.encode(), f"phone {normal}".encode(), hashlib.sha256).hexdigest()


def recorded_url(url: str, kept: frozenset[str]) -> str:
    """Return ``url`` without user name, without fragment, and with those parameters of its query alone that are in ``kept``."""
    base, _, _ = url.partition("#")
    path, _, query = base.partition("?")
    if "@" in path:
        path = _USER.sub(r"\1", path, count=1)
    if not query:
        return path
    pairs = "&".join(pair for pair in query.split("&") if pair.partition("=")[0].lower() in kept)
    return f"{path}?{pairs}" if pairs else path


def hash_email(address: str, key: str) -> str:
    """Return the keyed hash (HMAC-SHA256, hex) of an e-mail address, trimmed and in lower case.

    Raises FieldError where ``address`` has no form of one, or where there is no key to hash it with.
    """
    normal = address.strip().lower()
    local, at, domain = normal.rpartition("@")
    if not (local and at and domain) or len(normal) > 320 or any(character.isspace() for character in normal):
        raise FieldError("email", "is not an e-mail address")
    if not key:
        raise FieldError("email", "this collector has no key to hash e-mail addresses with; send email_hash")
    return hmac.new(key.encode(), normal.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


@lru_cache(maxsize=65_536)
def truncate_ip(text: str) -> str:
    """Return the /24 (IPv4) or /48 (IPv6) network address of ``text``, empty where it is no address."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is None:
            return str(IPv6Address(int(address) >> 80 << 80))
        address = address.ipv4_mapped
    return str(IPv4Address(int(address) >> 8 << 8))


def scrub(text: str) -> str:
    """Return ``text`` without e-mail addresses and telephone numbers, and with IP addresses cut to their
    network.

    Also finds them percent-encoded, as in URLs that carry URLs. Telephone numbers are known by their ``+`` or
    by the name of their parameter; digits alone are not taken for one. Each search runs only where a
    character it needs is there.
    """
    encoded = "%" in text
    if encoded or "=" in text or ":" in text:
        lower = text.lower()
        if any(name in lower for name in _NAMES):
            text = _NAMED.sub(r"\1" + REDACTED, text)
    if encoded or "@" in text:
        text = _without_emails(text)
    if encoded or "+" in text:
        text = _PHONE.sub(REDACTED, text)
    if text.count(".") >= 3:
        text = _IPV4.sub(_cut_ipv4, text)
    if encoded or text.count(":") >= 2:
        text = _IPV6.sub(_cut_ipv6, text)
    return text


def is_personal(text: str) -> bool:
    """Return whether ``text`` holds something that ``scrub`` would take out."""
    return scrub(text) != text


def _without_emails(text: str) -> str:
    kept: list[str] = []
    end = 0
    for match in _DOMAIN.finditer(text):
        before = text[max(end, match.start() - _LONGEST_LOCAL) : match.start()]
        local = _LOCAL_END.split(before)[-1]
        if local:
            kept += (text[end : match.start() - len(local)], REDACTED)
            end = match.end()
    return "".join(kept) + text[end:] if kept else text


def _cut_ipv4(match: re.Match[str]) -> str:
    if any(int(part) > 255 for part in match.groups()):
        return match[0]
    return f"{match[1]}.{match[2]}.{match[3]}.0"


def _cut_ipv6(match: re.Match[str]) -> str:
    plain = re.sub(_COLON, ":", match[0])
    cut = truncate_ip(plain)
    return match[0] if not cut or int(IPv6Address(plain)) == int(IPv6Address(cut)) else cut
