"""Credit requests a partition has taken, with the credits in force for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.state.chains import Chains
from streams.state.credits import Credits

RequestKey = tuple[str, str, str, str]
"""Partner, transaction id, route, and the person it was sent on to (empty where it was not)."""


class Claim(NamedTuple):
    """What is to be credited: a conversion as its credit request states it. Times in ms UTC, money in micros (recognised)."""

    partner: str
    transaction_id: str
    occurred_at: int
    status: str
    value: int
    payout: int
    currency: str
    goal: str
    campaign: str
    affiliate: str
    offer: str


Sending = tuple[str, str, int, int, bool]
"""To whom a request is sent on: person, origin, revision, step, and whether it is to be taken back there."""


@dataclass(slots=True)
class Request:
    """The newest request of a transaction on one route, of one origin. ``click``, ``lead`` and ``visitor`` are hashes, 0 where not named; its credits
    in force are the rows from ``start`` to below ``end`` of `Requests.credits`, if it is the one that stands. ``origin``: the visitor it came to
    before it was sent on; ``sent``: what was sent on of it from here, None where that is not known; ``former``: hashes that requests before it
    named."""

    claim: Claim
    request_id: int
    revision: int
    moved: bool
    click: int
    lead: int
    visitor: int
    seen_at: int
    origin: str = ""
    step: int = 0
    sent: frozenset[Sending] | None = None
    former: frozenset[int] = frozenset()
    start: int = 0
    end: int = 0

    @property
    def named(self) -> frozenset[int]:
        """Hashes of all that this request or one before it named."""
        return (self.former | {self.click, self.lead, self.visitor}) - {0}

    @property
    def rank(self) -> tuple[int, int, bool]:
        """Of two requests of one origin the higher is the newer: of one revision and step the one that takes back."""
        return self.revision, self.step, self.moved


@dataclass(slots=True)
class Requests:
    """The requests in memory, by key, and an index of the hashes whose touches concern them.

    A person may get requests of one transaction from several of its visitors, each of which only takes back what is its own: of each origin
    the newest is kept. The one that stands is in ``by_key``, the others are in ``aside``.
    """

    by_key: dict[RequestKey, Request] = field(default_factory=dict)
    aside: dict[RequestKey, dict[str, Request]] = field(default_factory=dict)
    credits: Credits = field(default_factory=Credits)
    _watched: Chains = field(default_factory=Chains)
    _watchers: list[RequestKey] = field(default_factory=list)
    _watching: set[tuple[int, RequestKey]] = field(default_factory=set)
    _unindexed: list[tuple[int, RequestKey]] = field(default_factory=list)

    def take(self, key: RequestKey, request: Request) -> bool:
        """Take ``request`` if it is newer than the one of its origin, and return whether it is. Of all origins the newest that takes nothing back
        stands from now on; credits in force are carried over to it."""
        standing = self.by_key.get(key)
        if standing is None:
            self._stand(key, request)
            return True
        origins = {**self.aside.get(key, {}), standing.origin: standing}
        known = origins.get(request.origin)
        if known is not None:
            if request.rank <= known.rank:
                return False
            request.sent, request.former = known.sent, known.named
        origins[request.origin] = request
        chosen = min(origins.values(), key=_standing)
        chosen.start, chosen.end = standing.start, standing.end
        chosen.seen_at = max(one.seen_at for one in (standing, request, chosen))
        del origins[chosen.origin]
        if origins:
            self.aside[key] = origins
        self._stand(key, chosen)
        return True

    def _stand(self, key: RequestKey, request: Request) -> None:
        self.by_key[key] = request
        self.watch((value, key) for value in (request.click, request.lead, request.visitor))

    def watch(self, pairs: Iterable[tuple[int, RequestKey]]) -> None:
        """Note that touches under a hash concern a key, for each of ``pairs``; a hash of 0 is none."""
        for pair in pairs:
            if pair[0] and pair not in self._watching:
                self._watching.add(pair)
                self._unindexed.append(pair)

    def concerned(self, hashes: npt.NDArray[np.uint64]) -> list[tuple[int, RequestKey]]:
        """Return (place in ``hashes``, key) of every request that a touch under a hash concerns."""
        self._index()
        places, rows = self._watched.find(hashes)
        return [
            (place, self._watchers[row]) for place, row in zip(places.tolist(), rows.tolist(), strict=True)
        ]

    def _index(self) -> None:
        """Index what is watched since the last time: one call for many costs hardly more than one for one."""
        if self._unindexed:
            self._watched.add(np.array([value for value, _ in self._unindexed], dtype=np.uint64))
            self._watchers.extend(key for _, key in self._unindexed)
            self._unindexed.clear()

    def expire(self, floor: int) -> None:
        """Forget requests not seen since record time ``floor`` (ms), and credits no longer in force: the journal has them."""
        kept = {key: request for key, request in self.by_key.items() if request.seen_at >= floor}
        if len(kept) < len(self.by_key):
            watching = [(value, key) for value, key in self._watching if key in kept]
            self.by_key = kept
            self.aside = {key: others for key, others in self.aside.items() if key in kept}
            self._watched.replace(np.array([value for value, _ in watching], dtype=np.uint64))
            self._watchers, self._watching, self._unindexed = [key for _, key in watching], set(watching), []
        self._compact(list(kept.values()))

    def _compact(self, requests: Sequence[Request]) -> None:
        _, rows = held_rows(requests)
        self.credits.keep(rows)
        end = 0
        for request in requests:
            end += request.end - request.start
            request.start, request.end = end - (request.end - request.start), end


def _standing(request: Request) -> tuple[bool, int, int, str]:
    return request.moved, -request.revision, -request.step, request.origin


def held_rows(requests: Sequence[Request]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the rows of `Requests.credits` in force for ``requests``, and before them the place of the request that each belongs to."""
    starts = np.array([request.start for request in requests], dtype=np.int64)
    counts = np.array([request.end - request.start for request in requests], dtype=np.int64)
    ends = np.cumsum(counts)
    within = np.arange(int(ends[-1]) if len(ends) else 0) - np.repeat(ends - counts, counts)
    return np.repeat(np.arange(len(requests)), counts), np.repeat(starts, counts) + within
