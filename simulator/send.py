"""Sending items: through the collector as senders and browsers do, or straight into Kafka.

An event counts as acknowledged when the collector (or the broker) has said so. Whatever was not is sent again under the same id,
until it is or time is up.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import httpx

from simulator.items import Item, prepared
from simulator.kafka import Sender, partitions_of
from simulator.requests import Hit, batch_entry, hit, postback

Progress = Callable[[int], None]
EVENT_ID = "X-Funnel-Event-Id"
_BUSY = (429, 503)
_NO_PROXY = {"all://127.0.0.1": None, "all://localhost": None, "all://[::1]": None}
"""httpx would ask the proxy that the environment names even for this machine."""


@dataclass(frozen=True, slots=True)
class CollectorTarget:
    """A collector. ``token`` is one of its senders', ``link_key`` signs redirects (empty: none are sent),
    ``partner_secrets`` (by partner) postbacks at the time that ``clock`` gives, in seconds since 1970.

    ``hit_every``: of that many items that can, one goes as a browser's request; 0: none. ``patience_seconds``: how long an
    unacknowledged event is tried again.
    """

    url: str
    token: str = field(repr=False)
    link_key: str = field(default="", repr=False)
    partner_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    clock: Callable[[], float] = time.time
    batch: int = 250
    concurrency: int = 6
    hit_every: int = 25
    timeout_seconds: float = 15.0
    patience_seconds: float = 120.0


@dataclass(slots=True)
class Sent:
    """What became of the sending. ``acknowledged``: event id → kind. ``refused``: the first few errors of items not taken."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    refusals: int = 0
    retries: int = 0
    direct: int = 0

    def refuse(self, error: object) -> None:
        """Note an item that was not taken."""
        self.refusals += 1
        if len(self.refused) < 10:
            self.refused.append(str(error))


class NotAcknowledged(Exception):
    """Time was up, and events were still not acknowledged."""

    def __init__(self, events: int, last: str) -> None:
        super().__init__(f"{events} events not acknowledged, last answer: {last}")
        self.events = events
        self.last = last


async def send_to_collector(
    items: Iterable[Item],
    target: CollectorTarget,
    bootstrap: str | None,
    progress: Progress = lambda count: None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> Sent:
    """Send ``items`` in order, some batches at a time; ``progress`` is told how many more are done.

    Those that no collector lets through (malformed, misrouted) go to Kafka at ``bootstrap``, or are left out if that is None.
    ``transport`` replaces the network. Raises NotAcknowledged, KafkaFailed.
    """
    sent = Sent()
    direct = _Direct(bootstrap, sent) if bootstrap is not None else None
    mounts = _NO_PROXY if transport is None else {}
    async with httpx.AsyncClient(
        base_url=target.url, timeout=target.timeout_seconds, transport=transport, mounts=mounts
    ) as client:
        courier = _Courier(client, target, sent)
        batches = _batches(items, target.batch)

        async def work() -> None:
            # One iterator for all workers: each takes the next batch when it is done with its last.
            for batch in batches:
                await courier.deliver([item for item in batch if item.direct is None])
                if direct is not None:
                    direct.send([item for item in batch if item.direct is not None])
                progress(len(batch))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(target.concurrency):
                    group.create_task(work())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed
    if direct is not None:
        await asyncio.to_thread(direct.close)
    return sent


def send_to_kafka(items: Iterable[Item], bootstrap: str, progress: Progress = lambda count: None) -> Sent:
    """Send ``items`` straight to the broker, each into its partition. Raises KafkaFailed."""
    sent = Sent()
    direct = _Direct(bootstrap, sent)
    for batch in _batches(items, 1000):
        direct.send(batch)
        progress(len(batch))
    direct.close()
    return sent


def _batches(items: Iterable[Item], size: int) -> Iterator[Sequence[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


class _Direct:
    """The way into Kafka past the collector. Well-formed events are noted as acknowledged by the broker."""

    def __init__(self, bootstrap: str, sent: Sent) -> None:
        _, self._partitions = partitions_of(bootstrap)
        self._sender = Sender(bootstrap, self._acknowledged)
        self._sent = sent

    def send(self, items: Iterable[Item]) -> None:
        for item in items:
            token = f"{item.kind} {item.record['event_id']}" if item.record else ""
            self._sender.send(prepared(item, self._partitions), token)
            self._sent.direct += 1

    def close(self) -> None:
        self._sender.close()

    def _acknowledged(self, token: str) -> None:
        kind, _, event_id = token.partition(" ")
        self._sent.acknowledged[event_id.lower()] = kind


class _Courier:
    """Delivers to a collector, again and again where it must."""

    def __init__(self, client: httpx.AsyncClient, target: CollectorTarget, sent: Sent) -> None:
        self._client = client
        self._target = target
        self._sent = sent
        self._fit = 0

    async def deliver(self, items: Sequence[Item]) -> None:
        """Return once each of ``items`` is acknowledged or refused. Raises NotAcknowledged."""
        hits, rest = self._divided(items)
        for item, request in hits:
            await self._until_answered(partial(self._get, item, request), 1)
        waiting = list(rest)

        async def post() -> str | None:
            nonlocal waiting
            waiting, answer = await self._post(waiting)
            return answer

        if waiting:
            await self._until_answered(post, len(waiting))

    def _divided(self, items: Sequence[Item]) -> tuple[list[tuple[Item, Hit]], list[Item]]:
        hits, rest = [], []
        for item in items:
            request = self._request(item) if self._target.hit_every else None
            self._fit += request is not None
            if request is None or self._fit % self._target.hit_every or not self._may_go(request):
                rest.append(item)
            else:
                hits.append((item, request))
        return hits, rest

    def _request(self, item: Item) -> Hit | None:
        target = self._target
        return hit(item, target.link_key) or postback(item, target.partner_secrets, target.clock())

    def _may_go(self, request: Hit) -> bool:
        return request.path != "/c" or bool(self._target.link_key)

    async def _until_answered(self, attempt: Callable[[], Awaitable[str | None]], events: int) -> None:
        """Repeat ``attempt`` until it returns None; otherwise it returns what the collector last said."""
        last: str | None = "none"
        with suppress(TimeoutError):
            async with asyncio.timeout(self._target.patience_seconds):
                pause = 0.05
                while (last := await self._attempt(attempt)) is not None:
                    self._sent.retries += 1
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 2.0)
                return
        raise NotAcknowledged(events, last or "none")

    async def _attempt(self, attempt: Callable[[], Awaitable[str | None]]) -> str | None:
        try:
            return await attempt()
        except httpx.TransportError as error:
            return f"{type(error).__name__}: {error}"

    async def _get(self, item: Item, request: Hit) -> str | None:
        answer = await self._client.get(request.path, params=request.parameters, headers=request.headers)
        if answer.status_code in _BUSY or answer.status_code >= 500:
            return f"{answer.status_code} {answer.text[:200]}"
        if answer.status_code in (200, 302):
            self._sent.acknowledged[answer.headers[EVENT_ID].lower()] = item.kind
        else:
            self._sent.refuse(f"{request.path}: {answer.status_code} {answer.text[:200]}")
        return None

    async def _post(self, items: Sequence[Item]) -> tuple[list[Item], str | None]:
        """Return the items still to be acknowledged, and the answer that says so."""
        headers = {"authorization": f"Bearer {self._target.token}"}
        body = {"events": [batch_entry(item) for item in items]}
        answer = await self._client.post("/events", json=body, headers=headers)
        outcomes = _outcomes(answer)
        if outcomes is None or len(outcomes) != len(items):
            if answer.status_code in _BUSY or answer.status_code >= 500:
                return list(items), f"{answer.status_code} {answer.text[:200]}"
            self._sent.refuse(f"/events: {answer.status_code} {answer.text[:200]}")
            return [], None
        waiting = []
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.get("status") == "accepted":
                self._sent.acknowledged[outcome["event_id"].lower()] = item.kind
            elif "error" in outcome:
                self._sent.refuse(f"{item.kind}: {outcome['error']}")
            else:
                waiting.append(item)
        return waiting, f"{answer.status_code}" if waiting else None


def _outcomes(answer: httpx.Response) -> list[dict[str, Any]] | None:
    """The entries of an answer to a batch, None if it has none."""
    try:
        content = answer.json()
    except ValueError:
        return None
    items = content.get("items") if isinstance(content, dict) else None
    return items if isinstance(items, list) else None
