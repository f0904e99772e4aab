"""Who belongs to whom: what a partition remembers of the identity keys and the visitors on its routes (docs/rules.md, section 8).

Pairs and members are few and for ever in memory, some 300 bytes each. Claims come with every lead that has a key: those of keys not heard of
within the hot window are in the journal.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.state.hashing import hash_of
from streams.state.packed import Lists, Texts

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
    crowded: set[str] = field(default_factory=set)
    _winners: Lists = field(default_factory=Lists)
    _members: Lists = field(default_factory=Lists)
    _texts: Texts = field(default_factory=Texts)
    _apart: set[int] = field(default_factory=set)

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

    def pair(self, visitor: str, winner: str) -> None:
        """Let ``visitor`` belong to ``winner`` from now on; it belongs to nobody yet."""
        visitor_hash, winner_hash = hash_of(visitor), hash_of(winner)
        self._texts.put(visitor_hash, visitor)
        self._texts.put(winner_hash, winner)
        self._winners.add(visitor_hash, winner_hash)

    def winner(self, visitor: int) -> str:
        """Return whom a visitor, given by its hash, belongs to; the empty text if to nobody."""
        found = self._winners.of(visitor)
        return self._texts.get(found[0]) if found else ""

    def crowd(self, visitor: str) -> None:
        """Note that a key of the visitor's person is over the limit."""
        self.crowded.add(visitor)
        self._apart.add(hash_of(visitor))

    def join(self, person: str, origin: str) -> bool:
        """Note that the visitor ``origin`` belongs to ``person``; return whether that is new."""
        person_hash, origin_hash = hash_of(person), hash_of(origin)
        members = self._members.of(person_hash)
        if origin_hash in members:
            return False
        self._texts.put(origin_hash, origin)
        self._members.add(person_hash, origin_hash)
        if len(members) + 1 >= self.limit:
            self._apart.add(person_hash)
        return True

    def joined(self, person: str, origin: str) -> bool:
        """Return whether it is known that the visitor ``origin`` belongs to ``person``."""
        return hash_of(origin) in self._members.of(hash_of(person))

    def text(self, visitor: int) -> str:
        """Return the id of a visitor that was paired or joined, by its hash."""
        return self._texts.get(visitor)

    def belonging_to(self, visitors: U64) -> list[tuple[str, str]]:
        """Return of visitors that belong to another one, given by their hashes, the id and whom each belongs to."""
        winners = self._texts.of(self._winners.newest(visitors))
        return list(zip(self._texts.of(visitors), winners, strict=True))

    def fill(self, pairs: pl.DataFrame, members: pl.DataFrame) -> None:
        """Take what is known of a partition that knows nothing yet: visitors (``one``) and whom they belong to (``other``), and persons (``one``)
        with the visitors that belong to them (``other``); beside each its hash (``one_hash``, ``other_hash``). The first pair of a visitor counts.
        """
        pairs = pairs.unique("one_hash", keep="first", maintain_order=True)
        members = members.unique(("one_hash", "other_hash"), maintain_order=True)
        named = (pairs["one", "one_hash"], pairs["other", "other_hash"], members["other", "other_hash"])
        for texts in named:
            self._texts.fill(texts.to_series(1).to_numpy(), texts.to_series(0))
        for known, frame in ((self._winners, pairs), (self._members, members)):
            known.fill(frame["one_hash"].to_numpy(), frame["other_hash"].to_numpy())
        sizes = members.group_by("one_hash").len().filter(pl.col("len") >= self.limit)
        self._apart.update(sizes["one_hash"].to_list())

    def belonging(self, visitors: U64) -> npt.NDArray[np.bool_]:
        """Return which of the hashes are of visitors that belong to another one."""
        return self._winners.holds(visitors)

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
    def pairs(self) -> int:
        """Visitors that belong to another one."""
        return self._winners.count

    @property
    def nbytes(self) -> int:
        """Bytes held of pairs and members."""
        return self._winners.nbytes + self._members.nbytes + self._texts.nbytes

    @property
    def apart(self) -> int:
        """Visitors whose person has too many of them, as far as they are on these routes."""
        return len(self._apart)

    def expire(self, floor: int) -> None:
        """Forget keys not heard of since record time ``floor`` (ms): the journal has their claims."""
        kept = {key: known for key, known in self.keys.items() if known.seen_at >= floor}
        if len(kept) < len(self.keys):
            self.keys, self.complete = kept, False
