"""Who belongs to whom: what a partition remembers of the identity keys and the visitors on its routes (docs/rules.md, section 8).

Pairs and members are few, for ever in memory and some 300 bytes each. Claims come with every lead that has a key: those of keys not heard of
within the hot window are in the journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streams.state.chains import Chains
from streams.state.hashing import hash_of

U64 = npt.NDArray[np.uint64]
DEFAULT_LIMIT = 20


@dataclass(slots=True)
class Claimants:
    """The visitors that claimed an identity key, in order, up to one more than a person may have. ``seen_at``: newest record time (ms)."""

    visitors: list[str] = field(default_factory=list)
    seen_at: int = 0


@dataclass(slots=True)
class Links:
    """Keys and visitors of one partition. ``limit``: visitors that one person may have. ``complete``: the journal has no older claims."""

    limit: int = DEFAULT_LIMIT
    complete: bool = True
    keys: dict[str, Claimants] = field(default_factory=dict)
    winners: dict[str, str] = field(default_factory=dict)
    members: dict[str, set[str]] = field(default_factory=dict)
    crowded: set[str] = field(default_factory=set)
    _named: dict[int, str] = field(default_factory=dict)
    _apart: set[int] = field(default_factory=set)
    _owned: Chains = field(default_factory=Chains)
    _unindexed: list[int] = field(default_factory=list)

    def claim(self, key: str, visitor: str, now: int) -> str | None:
        """Take a claim; return the visitor that is to be paired with, the empty text where the key is over the limit, None if nothing is new."""
        known = self.keys.setdefault(key, Claimants())
        known.seen_at = max(known.seen_at, now)
        if visitor in known.visitors:
            return None
        if len(known.visitors) > self.limit:
            return ""
        known.visitors.append(visitor)
        return known.visitors[0] if len(known.visitors) > 1 else None

    def pair(self, visitor: str, winner: str, visitor_hash: int | None = None) -> None:
        """Let ``visitor`` belong to ``winner`` from now on; it belongs to nobody yet. Who has its hash at hand says so."""
        self.winners[visitor] = winner
        visitor_hash = visitor_hash or hash_of(visitor)
        self._named[visitor_hash] = visitor
        self._unindexed.append(visitor_hash)

    def crowd(self, visitor: str) -> None:
        """Note that a key of the visitor's person is over the limit."""
        self.crowded.add(visitor)
        self._apart.add(hash_of(visitor))

    def join(self, person: str, origin: str, origin_hash: int | None = None) -> bool:
        """Note that the visitor ``origin`` belongs to ``person``; return whether that is new. Who has its hash at hand says so."""
        members = self.members.setdefault(person, set())
        if origin in members:
            return False
        members.add(origin)
        self._named[origin_hash or hash_of(origin)] = origin
        if len(members) >= self.limit:
            self._apart.add(hash_of(person))
        return True

    def text(self, visitor: int) -> str:
        """Return the id of a visitor that was paired or joined, by its hash."""
        return self._named[visitor]

    def belonging(self, visitors: U64) -> npt.NDArray[np.bool_]:
        """Return which of the hashes are of visitors that belong to another one."""
        if not self.winners:
            return np.zeros(len(visitors), dtype=np.bool_)
        if self._unindexed:
            # One call for many costs hardly more than one for one.
            self._owned.add(np.array(self._unindexed, dtype=np.uint64))
            self._unindexed.clear()
        return self._owned.holds(visitors)

    def only(self, visitors: U64, origins: Iterable[str]) -> U64 | None:
        """Return per person whose touches alone count, as hashes: the origin's where the person has too many visitors, else 0; None if all do."""
        if not self._apart:
            return None
        found = np.zeros(len(visitors), dtype=np.uint64)
        for place, (visitor, origin) in enumerate(zip(visitors.tolist(), origins, strict=True)):
            if visitor in self._apart:
                found[place] = hash_of(origin) if origin else visitor
        return found

    @property
    def apart(self) -> int:
        """Visitors whose person has too many of them, as far as they are on these routes."""
        return len(self._apart)

    def expire(self, floor: int) -> None:
        """Forget keys not heard of since record time ``floor`` (ms): the journal has their claims."""
        kept = {key: known for key, known in self.keys.items() if known.seen_at >= floor}
        if len(kept) < len(self.keys):
            self.keys, self.complete = kept, False
