"""Ids we mint and the routes in them.

A minted id is ``route`` (4 characters of base 32) followed by 26 random characters of base 32 (130 bits). All ids minted for
one journey share the route of its visitor, so a look at any of them names the Kafka partition. An id minted by somebody else
is *foreign*; its route is a hash of it.
"""

import hashlib
import re
import secrets
import uuid

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
ROUTE_LENGTH = 4
RANDOM_LENGTH = 26
MINTED = re.compile(r"[a-z2-7]{30}", re.ASCII)
_HOP_NAMESPACE = uuid.UUID("0b0e5a3c-6f0e-5f6e-9d5d-0f2a6a9f4c11").bytes


def _random_characters(count: int) -> str:
    bits = secrets.randbits(5 * count)
    return "".join(ALPHABET[(bits >> (5 * place)) & 31] for place in range(count))


def mint_route() -> str:
    """Return a random route."""
    return _random_characters(ROUTE_LENGTH)


def mint(route: str | None = None) -> str:
    """Return a new 30-character id on ``route`` (a random one if None)."""
    return (route if route is not None else mint_route()) + _random_characters(RANDOM_LENGTH)


def is_minted(value: str) -> bool:
    """Return whether ``value`` has the form of an id that we mint."""
    return MINTED.fullmatch(value) is not None


def hashed_route(text: str) -> str:
    """Return the route of a text that we did not mint: the first 20 bits of its SHA-256, in base 32."""
    head = int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], "big") >> 4
    return "".join(ALPHABET[(head >> shift) & 31] for shift in (15, 10, 5, 0))


def route_of(identifier: str) -> str:
    """Return the route of a visitor, click or lead id, minted or foreign."""
    return identifier[:ROUTE_LENGTH] if is_minted(identifier) else hashed_route(identifier)


def transaction_route(partner: str, transaction_id: str) -> str:
    """Return the route by which a transaction's conversions are keyed."""
    return hashed_route(f"{partner}\x00{transaction_id}")


def journey_route(partner: str, transaction_id: str, click_id: str, lead_id: str, visitor_id: str) -> str:
    """Return the route of the journey that a transaction belongs to.

    The first that applies: a minted click id, a minted lead id, the visitor id, a foreign click id, a foreign lead id, the
    transaction itself (nothing leads to a journey).
    """
    for minted in (click_id, lead_id):
        if is_minted(minted):
            return minted[:ROUTE_LENGTH]
    for known in (visitor_id, click_id, lead_id):
        if known:
            return route_of(known)
    return transaction_route(partner, transaction_id)


def hop_id(*content: object) -> str:
    """Return the id of a hop: a version 5 UUID (RFC 9562) of its content, so that the same hop has the same id."""
    return hop_id_of("\x00".join(map(str, content)))


def hop_id_of(name: str) -> str:
    """Return the id of the hop whose content, joined by NUL characters, is ``name``."""
    digest = bytearray(hashlib.sha1(_HOP_NAMESPACE + name.encode(), usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
