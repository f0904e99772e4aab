"""An index from 64-bit hashes to row numbers, several rows per hash, in the manner of a chained hash table."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from streams.state.columns import compacted, grown

U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
_SMALLEST = 1 << 12


@numba.njit(cache=True, nogil=True)
def _link(keys: U64, heads: I32, following: I32, hashes: U64, first_row: int) -> int:
    mask = np.uint64(len(keys) - 1)
    made = 0
    for place in range(len(hashes)):
        if hashes[place] == 0:
            continue
        slot = hashes[place] & mask
        while keys[slot] != 0 and keys[slot] != hashes[place]:
            slot = (slot + np.uint64(1)) & mask
        if keys[slot] == 0:
            keys[slot] = hashes[place]
            heads[slot] = -1
            made += 1
        following[first_row + place] = heads[slot]
        heads[slot] = first_row + place
    return made


@numba.njit(cache=True, nogil=True)
def _head(keys: U64, heads: I32, wanted: np.uint64) -> int:
    mask = np.uint64(len(keys) - 1)
    slot = wanted & mask
    while wanted != 0 and keys[slot] != 0:
        if keys[slot] == wanted:
            return int(heads[slot])
        slot = (slot + np.uint64(1)) & mask
    return -1


@numba.njit(cache=True, nogil=True)
def _count(keys: U64, heads: I32, following: I32, wanted: U64, counts: I64) -> None:
    for place in range(len(wanted)):
        row = _head(keys, heads, wanted[place])
        while row >= 0:
            counts[place] += 1
            row = following[row]


@numba.njit(cache=True, nogil=True)
def _collect(keys: U64, heads: I32, following: I32, wanted: U64, rows: I64) -> None:
    filled = 0
    for place in range(len(wanted)):
        row = _head(keys, heads, wanted[place])
        while row >= 0:
            rows[filled] = row
            filled += 1
            row = following[row]


@numba.njit(cache=True, nogil=True)
def _hold(keys: U64, heads: I32, wanted: U64, held: npt.NDArray[np.bool_]) -> None:
    for place in range(len(wanted)):
        held[place] = _head(keys, heads, wanted[place]) >= 0


class Found(NamedTuple):
    """Rows found: ``rows[i]`` was added under the hash at ``places[i]`` of those asked for. int64[m] each."""

    places: I64
    rows: I64


@dataclass(slots=True)
class Chains:
    """Row numbers by hash. Rows are added in order, from 0; a hash of 0 means that the row has no key."""

    rows: int = 0
    distinct: int = 0
    _keys: U64 = field(default_factory=lambda: np.zeros(_SMALLEST, dtype=np.uint64))
    _heads: I32 = field(default_factory=lambda: np.zeros(_SMALLEST, dtype=np.int32))
    _next: I32 = field(default_factory=lambda: np.zeros(_SMALLEST, dtype=np.int32))

    def add(self, hashes: U64) -> None:
        """Add one row per hash."""
        end = self.rows + len(hashes)
        if end > len(self._next):
            self._next = grown(self._next, end)
        if 2 * (self.distinct + len(hashes)) > len(self._keys):
            self._fit(len(hashes))
        self.distinct += int(_link(self._keys, self._heads, self._next, hashes, self.rows))
        self.rows = end

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` rows in all, however few keys they have."""
        if rows > len(self._next):
            self._next = grown(self._next, rows)

    def replace(self, hashes: U64) -> None:
        """Have one row per hash instead of those there are. What holds them keeps its size, unless that is far too large by now."""
        self.rows = self.distinct = 0
        self._keys.fill(0)
        # In pieces: of many at once it has to take each for a new one.
        for start in range(0, len(hashes), _SMALLEST):
            self.add(hashes[start : start + _SMALLEST])
        if len(self._keys) > max(_SMALLEST, 12 * self.distinct):
            self._fit(0)
        self._next = compacted(self._next, np.arange(self.rows), _SMALLEST)

    def find(self, wanted: U64) -> Found:
        """Return every row added under one of ``wanted``: in order of ``wanted``, for each the newest first. A hash of 0 finds none."""
        counts = np.zeros(len(wanted), dtype=np.int64)
        _count(self._keys, self._heads, self._next, wanted, counts)
        rows = np.empty(int(counts.sum()), dtype=np.int64)
        _collect(self._keys, self._heads, self._next, wanted, rows)
        return Found(np.repeat(np.arange(len(wanted)), counts), rows)

    def newest(self, key: int) -> int:
        """Return the newest row added under a hash, -1 if there is none."""
        return int(_head(self._keys, self._heads, np.uint64(key)))

    def holds(self, wanted: U64) -> npt.NDArray[np.bool_]:
        """Return under which of ``wanted`` a row was added."""
        held = np.empty(len(wanted), dtype=np.bool_)
        _hold(self._keys, self._heads, wanted, held)
        return held

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._keys.nbytes + self._heads.nbytes + self._next.nbytes

    def _fit(self, more: int) -> None:
        """Take the table whose size suits ``more`` keys than there are."""
        size = _SMALLEST
        while size < 3 * (self.distinct + more):
            size *= 2
        used = self._keys != 0
        keys, heads = self._keys[used], self._heads[used]
        self._keys = np.zeros(size, dtype=np.uint64)
        self._heads = np.zeros(size, dtype=np.int32)
        _place(self._keys, self._heads, keys, heads)


@numba.njit(cache=True, nogil=True)
def _place(keys: U64, heads: I32, old_keys: U64, old_heads: I32) -> None:
    mask = np.uint64(len(keys) - 1)
    for place in range(len(old_keys)):
        slot = old_keys[place] & mask
        while keys[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        keys[slot] = old_keys[place]
        heads[slot] = old_heads[place]
