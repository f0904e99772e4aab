"""Ids out of a seed: reproducible where a test needs it, unique where a run is given its own entropy."""

import random

from schemas.ids import ALPHABET, RANDOM_LENGTH, ROUTE_LENGTH

_CHARACTERS = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))
_VARIANTS = "89ab"
_POOL = 8192


class Identities:
    """Mints ids from a seeded generator of its own, so that what else is drawn does not depend on how many ids were.

    Random bytes are drawn many at a time, as hexadecimal digits and as characters of base 32.
    """

    __slots__ = ("_at", "_characters", "_digits", "_draw")

    def __init__(self, seed: str) -> None:
        self._draw = random.Random(f"identities {seed}").randbytes
        self._digits = self._characters = ""
        self._at = _POOL

    def token(self, length: int) -> str:
        """Return ``length`` (at most 64) characters of base 32."""
        at = self._advance(length)
        return self._characters[at : at + length]

    def mint(self, route: str | None = None) -> str:
        """Return an id in the form that we mint, on ``route`` or a random one."""
        if route is None:
            return self.token(ROUTE_LENGTH + RANDOM_LENGTH)
        return route + self.token(RANDOM_LENGTH)

    def event_id(self) -> str:
        """Return a version 4 UUID."""
        at = self._advance(16)
        digits = self._digits[2 * at : 2 * at + 32]
        variant = _VARIANTS[int(digits[16], 16) & 3]
        return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"

    def foreign(self) -> str:
        """Return an id in the form of somebody else's: letters, digits and dots."""
        at = self._advance(6)
        return f"XA1.2.{int(self._digits[2 * at : 2 * at + 12], 16)}"

    def _advance(self, count: int) -> int:
        """Return the place of ``count`` bytes of the pool that nobody has used."""
        at = self._at
        if at + count > _POOL:
            pool = self._draw(_POOL)
            self._digits, self._characters = pool.hex(), pool.translate(_CHARACTERS).decode()
            at = 0
        self._at = at + count
        return at
