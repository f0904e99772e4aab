"""Credit requests a partition has taken, with the credits in force for each."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streams.state.chains import Chains
from streams.steps.attribute import Claim, Credit

RequestKey = tuple[str, str, str]
"""Partner, transaction id and route."""


@dataclass(slots=True)
class Request:
    """The newest request of a transaction on one route. ``click``, ``lead`` and ``visitor`` are hashes, 0 where not named."""

    claim: Claim
    request_id: int
    revision: int
    moved: bool
    click: int
    lead: int
    visitor: int
    seen_at: int
    in_force: list[Credit] = field(default_factory=list)


@dataclass(slots=True)
class Requests:
    """The requests in memory, by key, and an index of the hashes whose touches concern them."""

    by_key: dict[RequestKey, Request] = field(default_factory=dict)
    _watched: Chains = field(default_factory=Chains)
    _watchers: list[RequestKey] = field(default_factory=list)
    _watching: set[tuple[int, RequestKey]] = field(default_factory=set)
    _unindexed: list[tuple[int, RequestKey]] = field(default_factory=list)

    def known_revision(self, key: RequestKey) -> int:
        """Return the revision that stands for ``key``, 0 if there is none."""
        request = self.by_key.get(key)
        return 0 if request is None else request.revision

    def put(self, key: RequestKey, request: Request) -> None:
        """Let ``request`` stand for ``key``; credits in force are carried over from the one it replaces."""
        former = self.by_key.get(key)
        if former is not None:
            request.in_force = former.in_force
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
        """Forget requests not seen since record time ``floor`` (ms): the journal has them."""
        kept = {key: request for key, request in self.by_key.items() if request.seen_at >= floor}
        if len(kept) == len(self.by_key):
            return
        watching = [(value, key) for value, key in self._watching if key in kept]
        self.by_key = kept
        self._watched, self._watchers, self._watching, self._unindexed = Chains(), [], set(), []
        self.watch(watching)
