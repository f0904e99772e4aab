"""The door to the log, and a stand-in for it in memory.

All producers give the same promise: the future of a record is done when it is kept (by the broker, or by the
spool on this machine's disk), or fails with Unavailable within the wait.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from collector.errors import Unavailable


class SentRecord(NamedTuple):
    """One record as handed over; ``timestamp`` in ms UTC becomes its record time."""

    topic: str
    key: bytes
    value: bytes
    timestamp: int


class Keeper(StrEnum):
    """Who would keep a record that came now. NOBODY is false."""

    NOBODY = ""
    BROKER = "broker"
    SPOOL = "spool"


class Producer(Protocol):
    """What the application needs of Kafka. To be used from one event loop only."""

    def send(self, record: SentRecord) -> asyncio.Future[None]:
        """Queue a record. The future is done once all in-sync replicas have it, or once it is synced to the
        spool; it fails with Unavailable otherwise.

        Raises Unavailable at once where the queue is full.
        """

    async def ready(self) -> Keeper:
        """Return who would keep a record: the broker if it answers and has the topics."""

    async def close(self) -> None:
        """Wait, within limits, until no record is under way, then let go of the connection."""


Lost = Callable[[SentRecord, asyncio.Future[None], Unavailable], None]
"""What becomes of a record that was not acknowledged. Called once or more, while its future is not done."""


def fail(_record: SentRecord, future: asyncio.Future[None], failure: Unavailable) -> None:
    """Tell whoever waits for the record that it is not kept."""
    future.set_exception(failure)
    future.exception()


class LossyProducer(Producer, Protocol):
    """A Producer that hands back what it cannot deliver."""

    def send(self, record: SentRecord, lost: Lost = fail) -> asyncio.Future[None]:
        """As in Producer; but a record that is not acknowledged goes to ``lost``, which sees to its future."""


@dataclass(slots=True)
class MemoryProducer:
    """A LossyProducer. Keeps the acknowledged records in ``records``. ``away``: the broker is gone, records fail;
    ``capacity``: records under way."""

    records: list[SentRecord] = field(default_factory=list)
    away: bool = False
    capacity: int = 100_000
    ack_wait_seconds: float = 0.01
    _under_way: int = 0

    def send(self, record: SentRecord, lost: Lost = fail) -> asyncio.Future[None]:
        """See LossyProducer."""
        if self._under_way >= self.capacity:
            raise Unavailable("the queue is full")
        self._under_way += 1
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if self.away:
            loop.call_later(self.ack_wait_seconds, self._fail, future, record, lost)
        else:
            loop.call_soon(self._acknowledge, future, record)
        return future

    async def ready(self) -> Keeper:
        """See Producer."""
        return Keeper.NOBODY if self.away else Keeper.BROKER

    async def close(self) -> None:
        """See Producer."""
        while self._under_way:
            await asyncio.sleep(0)

    def _acknowledge(self, future: asyncio.Future[None], record: SentRecord) -> None:
        self._under_way -= 1
        self.records.append(record)
        if not future.done():
            future.set_result(None)

    def _fail(self, future: asyncio.Future[None], record: SentRecord, lost: Lost) -> None:
        self._under_way -= 1
        if not future.done():
            lost(record, future, Unavailable("not acknowledged in time"))
