"""The flush that is being filled: bounded, so that more intake waits."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from streams.steps.batch import RawBatch


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """A flush is due at ``rows`` records or ``seconds`` after its first one."""

    rows: int
    seconds: float


@dataclass(slots=True)
class Fill:
    """Batches on their way into the next flush. For one event loop."""

    policy: FlushPolicy
    now: Callable[[], float]
    _batches: list[RawBatch] = field(default_factory=list)
    _rows: int = 0
    _since: float = 0.0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be taken."""
        return not self._batches

    async def put(self, batch: RawBatch) -> None:
        """Add ``batch``; wait first while a whole flush is waiting to be taken."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._rows < self.policy.rows)
            if not self._batches:
                self._since = self.now()
            self._batches.append(batch)
            self._rows += len(batch)
            self._changed.notify_all()

    async def take(self) -> list[RawBatch]:
        """Wait until a flush is due and return its batches, in order of arrival."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._batches)
            wait = self._since + self.policy.seconds - self.now()
            if self._rows < self.policy.rows and wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait_for(lambda: self._rows >= self.policy.rows)
                except TimeoutError:
                    pass
            return self._empty()

    async def clear(self) -> None:
        """Drop what is waiting: it will be read again."""
        async with self._changed:
            self._empty()

    def _empty(self) -> list[RawBatch]:
        batches, self._batches, self._rows = self._batches, [], 0
        self._changed.notify_all()
        return batches
