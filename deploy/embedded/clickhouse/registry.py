"""The statements in progress: who runs what, and how each one is stopped."""

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from deploy.embedded.clickhouse.engine import Context
from deploy.embedded.clickhouse.errors import cancelled


@dataclass(slots=True, eq=False)
class Running:
    """One statement, from its query packet until its answer has been sent.

    `client_did` tells what its client did meanwhile: "" (nothing), "cancel" or "gone".
    """

    number: int
    query_id: str
    user: str
    text: str
    context: Context
    client_did: Callable[[], str]
    stoppable: bool
    started: float = field(default_factory=time.monotonic)
    in_engine: bool = False
    killed: bool = False
    cancelled: bool = False

    @property
    def marker(self) -> str:
        """A comment in the statement's text by which the engine's process list tells it apart."""
        return f"/*front:{self.number}*/"

    def check(self) -> None:
        """Raises the exception of a killed statement."""
        if self.killed:
            raise cancelled()


class Registry:
    """All statements in progress. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._running: dict[int, Running] = {}
        self._changed = threading.Condition()

    @contextmanager
    def enter(
        self,
        query_id: str,
        text: str,
        context: Context,
        *,
        user: str,
        client_did: Callable[[], str],
        stoppable: bool,
    ) -> Iterator[Running]:
        """Hold a statement in the registry. A query id is made up if the client sent none."""
        running = Running(
            next(self._numbers), query_id or str(uuid.uuid4()), user, text, context, client_did, stoppable
        )
        with self._changed:
            self._running[running.number] = running
        try:
            yield running
        finally:
            with self._changed:
                del self._running[running.number]
                self._changed.notify_all()

    @contextmanager
    def in_engine(self, running: Running) -> Iterator[None]:
        """Mark that the engine works on a statement. Raises its exception if it was killed before."""
        with self._changed:
            running.check()
            running.in_engine = True
        try:
            yield
        finally:
            with self._changed:
                running.in_engine = False
                self._changed.notify_all()

    def kill(self, numbers: set[int]) -> list[Running]:
        """Mark statements as killed: those not in the engine can do no more. Returns those still known."""
        with self._changed:
            found = [running for number, running in self._running.items() if number in numbers]
            for running in found:
                running.killed = True
            return found

    def wait_out(self, statements: list[Running]) -> None:
        """Return when the engine works on none of these any more."""
        with self._changed:
            self._changed.wait_for(lambda: not any(running.in_engine for running in statements))

    def wait_empty(self, seconds: float) -> bool:
        """Whether all statements have ended within this time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._running, seconds)

    def snapshot(self) -> list[Running]:
        with self._changed:
            return list(self._running.values())
