"""Who may look: a password, and after it a signed cookie."""

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

COOKIE = "funnel_session"
TRIES, TRIES_SECONDS = 10, 60.0
"""So many wrong passwords are looked at in that time, whoever sends them: more would be guessing."""


@dataclass(slots=True)
class Login:
    """Checks passwords and cookies. Sessions end with the process: the key that signs them is drawn at its start. ``now`` in seconds."""

    password: str = field(repr=False)
    seconds: int
    now: Callable[[], float] = time.time
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _wrong: deque[float] = field(default_factory=deque)

    def wait(self) -> int:
        """Return the seconds until a password may be tried, 0 for now."""
        while self._wrong and self._wrong[0] <= self.now() - TRIES_SECONDS:
            self._wrong.popleft()
        return 0 if len(self._wrong) < TRIES else int(self._wrong[0] + TRIES_SECONDS - self.now()) + 1

    def session(self, password: str) -> str | None:
        """Return a cookie's value for the right password, None for a wrong one."""
        if not hmac.compare_digest(password.encode(errors="surrogateescape"), self.password.encode()):
            self._wrong.append(self.now())
            return None
        ends = str(int(self.now()) + self.seconds)
        return f"{ends}.{self._signature(ends)}"

    def knows(self, cookie: str) -> bool:
        """Return whether a cookie is one of ours and has not ended."""
        ends, _, signature = cookie.partition(".")
        good = hmac.compare_digest(signature.encode(errors="surrogateescape"), self._signature(ends).encode())
        return good and ends.isdigit() and int(ends) > self.now()

    def _signature(self, ends: str) -> str:
        return hmac.new(self._key, ends.encode(errors="surrogateescape"), hashlib.sha256).hexdigest()
