"""What people type into forms: their own address, from one device or another, and now and then one that many type in."""

import random
from collections import deque

from simulator.chance import pick
from simulator.mess import Mess

_LATELY = 200
_SHARED = 2


class Addresses:
    """Hashes of e-mail addresses and telephone numbers. Draws from a generator of its own, so that nothing else depends on it."""

    def __init__(self, seed: str, mess: Mess) -> None:
        self._chance = random.Random(f"addresses {seed}")
        self._mess = mess
        self._emails: deque[str] = deque(maxlen=_LATELY)
        self._phones: deque[str] = deque(maxlen=_LATELY)

    def email(self, fresh: str) -> str:
        """Return the hash that a lead has: ``fresh``, one that was there lately, or one that many have."""
        if self._chance.random() < self._mess.shared:
            return f"{int(self._chance.random() * _SHARED):064x}"
        return self._one_of(self._emails, fresh)

    def phone(self, fresh: str) -> str:
        """Return likewise of a telephone number; most leads have none."""
        return self._one_of(self._phones, fresh) if self._chance.random() < self._mess.devices else ""

    def _one_of(self, lately: deque[str], fresh: str) -> str:
        if lately and self._chance.random() < self._mess.devices:
            return pick(self._chance, lately)
        lately.append(fresh)
        return fresh
