"""New ids for live traffic, cut from random text made many at a time: a system call per id would cost more
than the id."""

import os

from schemas.ids import ALPHABET, RANDOM_LENGTH, ROUTE_LENGTH

POOL_BYTES = 4096
_CHARACTERS = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Minter:
    """Mints ids from the operating system's randomness. Not to be shared by threads or carried over a
    fork."""

    __slots__ = ("_base32", "_base32_at", "_hex", "_hex_at")

    def __init__(self) -> None:
        self._base32, self._base32_at = "", 0
        self._hex, self._hex_at = "", 0

    def mint(self, route: str | None = None) -> str:
        """Return a new id as ``schemas.ids.mint`` does, on ``route`` or a random one."""
        count = RANDOM_LENGTH if route is not None else ROUTE_LENGTH + RANDOM_LENGTH
        start = self._base32_at
        if start + count > len(self._base32):
            self._base32 = os.urandom(POOL_BYTES).translate(_CHARACTERS).decode()
            start = 0
        self._base32_at = start + count
        taken = self._base32[start : start + count]
        return taken if route is None else route + taken

    def event_id(self) -> str:
        """Return a random (version 4) UUID."""
        start = self._hex_at
        if start + 32 > len(self._hex):
            self._hex = os.urandom(POOL_BYTES).hex()
            start = 0
        self._hex_at = start + 32
        taken = self._hex[start : start + 32]
        variant = _VARIANT[taken[16]]
        return f"{taken[:8]}-{taken[8:12]}-4{taken[13:16]}-{variant}{taken[17:20]}-{taken[20:]}"
