"""Proof that a postback comes from its partner: a signature over all that was sent, or a token from an address that is the partner's.

The signature is the hexadecimal HMAC-SHA256 (RFC 2104) under one of the partner's secrets of ``funnel-postback-v1``, the partner's name, the
time (whole seconds since 1970 UTC), the query without the parameters ``ts`` and ``sig``, and the body, joined by line breaks. It travels as the
parameters ``ts`` and ``sig``, or as the header ``X-Funnel-Signature: t=…,v1=…``.

A replay within the tolerance passes. It needs no memory: the event it describes has the same id, and counts once.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from collector.errors import FieldError
from collector.partners import Partner

SIGNATURE_HEADER = b"x-funnel-signature"
_CONTEXT = b"funnel-postback-v1"
_OURS = (b"ts", b"sig")


class Claim(NamedTuple):
    """What a request says to prove who sent it; texts are empty where it says nothing. ``query`` is as it was sent, ``address`` the caller's."""

    query: bytes
    body: bytes
    time: str
    signature: str
    token: str
    address: str


def signed_part(query: bytes) -> bytes:
    """Return ``query`` without the parameters that carry the signature."""
    return b"&".join(pair for pair in query.split(b"&") if pair.partition(b"=")[0] not in _OURS)


def sign_postback(secret: str, partner: str, time: str, query: bytes, body: bytes) -> str:
    """Return the signature in hexadecimal digits."""
    text = b"\n".join((_CONTEXT, partner.encode(), time.encode(), signed_part(query), body))
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def read_signature_header(value: str) -> tuple[str, str]:
    """Return time and signature out of the header's value, empty where it does not have them."""
    parts = dict(part.strip().partition("=")[::2] for part in value.split(","))
    return parts.get("t", ""), parts.get("v1", "")


def authenticate(partner: Partner, claim: Claim, now: int, tolerance_seconds: int) -> None:
    """Return if ``claim`` is the partner's. ``now`` in ms UTC. Raises FieldError with reason signature, timestamp, token or address."""
    if claim.signature or not partner.tokens:
        _check_signature(partner, claim, now, tolerance_seconds)
    else:
        _check_token(partner, claim)


def _check_signature(partner: Partner, claim: Claim, now: int, tolerance_seconds: int) -> None:
    if not claim.signature or not partner.secrets:
        raise FieldError(
            "sig",
            "is missing" if not claim.signature else "is not how this partner proves itself",
            "signature",
        )
    if not (claim.time.isascii() and claim.time.isdigit() and len(claim.time) <= 12):
        raise FieldError("ts", "is not a time in whole seconds since 1970", "timestamp")
    expected = (
        sign_postback(secret, partner.name, claim.time, claim.query, claim.body) for secret in partner.secrets
    )
    if not _is_one_of(claim.signature.lower(), expected):
        raise FieldError("sig", "is not the signature of what was sent", "signature")
    # After the signature: only the partner is told about its clock.
    if abs(now // 1000 - int(claim.time)) > tolerance_seconds:
        raise FieldError("ts", f"is more than {tolerance_seconds} s from this server's time", "timestamp")


def _check_token(partner: Partner, claim: Claim) -> None:
    if not _is_one_of(claim.token, partner.tokens):
        raise FieldError("token", "is missing" if not claim.token else "is not this partner's", "token")
    if not _is_within(claim.address, partner):
        raise FieldError("address", "is not one that this partner's token is believed from", "address")


def _is_one_of(given: str, known: Iterable[str] | Sequence[str]) -> bool:
    """Compares with all of them, each in constant time."""
    found = False
    for candidate in known:
        found |= hmac.compare_digest(candidate.encode(), given.encode(errors="replace"))
    return found


def _is_within(address: str, partner: Partner) -> bool:
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(mapped in network for network in partner.addresses)
