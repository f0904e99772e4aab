"""Sessions of HTTP clients: what SET, USE and temporary tables leave behind, until nobody has come for a while."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from deploy.embedded.clickhouse.access.users import User
from deploy.embedded.clickhouse.engine import Context, Engine, Lane
from deploy.embedded.clickhouse.errors import SESSION_IS_LOCKED, SESSION_NOT_FOUND, ServerError
from deploy.embedded.clickhouse.http.parameters import SessionWanted


@dataclass(slots=True)
class Session:
    """One client's state. `lane` is its connection to the engine; `kept`: it goes on after this request."""

    lane: Lane
    kept: bool
    context: Context = field(default_factory=Context)
    busy: bool = True
    until: float = 0.0


class Sessions:
    """All sessions of a server, by user and name. Every method may be called from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions: dict[tuple[str, str], Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def open(self, user: User, wanted: SessionWanted | None) -> Iterator[Session]:
        """The session that was asked for, or one for this request alone. Raises ServerError."""
        if wanted is None:
            lane = self._engine.lane()
            try:
                yield Session(lane, kept=False)
            finally:
                self._engine.release(lane)
            return
        key = (user.name, wanted.name)
        session = self._enter(key, wanted)
        try:
            yield session
        finally:
            self._leave(key, session, wanted)

    def sweep(self, now: float) -> None:
        """Forget the sessions that nobody has used for as long as they asked for."""
        with self._lock:
            old = [
                key for key, session in self._sessions.items() if not session.busy and session.until <= now
            ]
            ended = [self._sessions.pop(key) for key in old]
        for session in ended:
            self._engine.release(session.lane)

    def close(self) -> None:
        self.sweep(float("inf"))

    def _enter(self, key: tuple[str, str], wanted: SessionWanted) -> Session:
        self.sweep(time.monotonic())
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                if wanted.known:
                    raise ServerError(
                        SESSION_NOT_FOUND, f"Session {wanted.name} not found. (SESSION_NOT_FOUND)"
                    )
                session = self._sessions[key] = Session(self._engine.lane(), kept=True)
            elif session.busy:
                raise ServerError(
                    SESSION_IS_LOCKED,
                    f"Session {wanted.name} is locked by a concurrent client. (SESSION_IS_LOCKED)",
                )
            session.busy = True
            return session

    def _leave(self, key: tuple[str, str], session: Session, wanted: SessionWanted) -> None:
        with self._lock:
            session.busy = False
            session.until = time.monotonic() + wanted.seconds
            if wanted.last:
                del self._sessions[key]
        if wanted.last:
            self._engine.release(session.lane)
