"""Senders outside the processes that fail: through the collector, and straight into Kafka. Whatever was acknowledged is in a file."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from simulator.acknowledged import append_acknowledged
from simulator.items import Item, prepared
from simulator.kafka import Sender, partitions_of
from simulator.send import CollectorTarget, send_to_collector

SLICES = 40
PATIENCE_SECONDS = 300.0
Progress = Callable[[int], None]


class Client:
    """Two threads that send ``items`` spread over ``seconds``: every other slice through the collector, the rest into Kafka.

    An event that was not acknowledged is sent again, for PATIENCE_SECONDS. ``path`` gets the ids of those that were, as they are.
    """

    def __init__(
        self,
        items: Sequence[Item],
        target: CollectorTarget,
        bootstrap: str,
        path: Path,
        seconds: float,
        progress: Progress,
    ) -> None:
        self._target, self._bootstrap, self._path = target, bootstrap, path
        self._seconds, self._progress = seconds, progress
        self._slices = [items[number::SLICES] for number in range(SLICES)]
        self._lock = threading.Lock()
        self._errors: list[BaseException] = []
        self._began = 0.0
        self._threads = [
            threading.Thread(target=self._guarded, args=(way,), daemon=True)
            for way in (self._through_collector, self._into_kafka)
        ]

    def start(self) -> None:
        """Begin to send."""
        self._began = time.monotonic()
        self._path.touch()
        for thread in self._threads:
            thread.start()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to send."""
        return not any(thread.is_alive() for thread in self._threads)

    def finish(self) -> None:
        """Return when everything is acknowledged. Raises NotAcknowledged, KafkaFailed."""
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _guarded(self, way: Callable[[], None]) -> None:
        try:
            way()
        except BaseException as error:  # raised by ``finish``
            self._errors.append(error)

    def _through_collector(self) -> None:
        for number in range(0, SLICES, 2):
            self._wait_for(number)
            # What no collector lets through goes the other way.
            items = [item for item in self._slices[number] if item.direct is None]
            sent = asyncio.run(send_to_collector(items, self._target, None))
            self._note(sent.acknowledged.items())
            self._progress(len(items))

    def _into_kafka(self) -> None:
        _, partitions = partitions_of(self._bootstrap)
        sender = Sender(self._bootstrap, self._acknowledged)
        for number in range(SLICES):
            self._wait_for(number)
            items = [item for item in self._slices[number] if number % 2 or item.direct is not None]
            for item in items:
                token = f"{item.kind} {item.record['event_id']}" if item.record else ""
                sender.send(prepared(item, partitions), token)
            self._progress(len(items))
        sender.close(PATIENCE_SECONDS)

    def _acknowledged(self, token: str) -> None:
        kind, _, event_id = token.partition(" ")
        self._note([(event_id.lower(), kind)])

    def _note(self, acknowledged: Iterable[tuple[str, str]]) -> None:
        with self._lock:
            append_acknowledged(self._path, acknowledged)

    def _wait_for(self, number: int) -> None:
        due = self._began + self._seconds * number / SLICES
        time.sleep(max(0.0, due - time.monotonic()))
