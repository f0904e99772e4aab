"""The ids a partition of a topic has seen, for deduplication: an open-addressing table of 64-bit hashes.

24 bytes an entry, a third to half full: 48 to 72 bytes per remembered id. Of an entry its hash, record time and content are neighbours: each is
looked for somewhere else in the table, and there at most two lines of the cache are fetched.
"""

from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

NEW, DUPLICATE, CONFLICT = 0, 1, 2
_SMALLEST = 1 << 12
_NEVER = np.iinfo(np.int64).min


@numba.njit(cache=True, nogil=True)
def _insert(
    entries: U64, window: int, key: U64, time: I64, content: U64, verdict: npt.NDArray[np.int8]
) -> int:
    """Look up and insert row by row, in order; return how many new entries were made."""
    slots = np.uint64(len(entries))
    made = 0
    for row in range(len(key)):
        # The upper half of a hash, as a fraction of 2^32, of all slots: so there can be any number of them, below 2^32.
        slot = ((key[row] >> np.uint64(32)) * slots) >> np.uint64(32)
        while entries[slot, 0] != 0 and entries[slot, 0] != key[row]:
            slot += np.uint64(1)
            if slot == slots:
                slot = np.uint64(0)
        if entries[slot, 0] != 0 and time[row] - np.int64(entries[slot, 1]) <= window:
            verdict[row] = 1 if entries[slot, 2] == content[row] else 2
            continue
        made += entries[slot, 0] == 0
        entries[slot, 0] = key[row]
        entries[slot, 1] = np.uint64(time[row])
        entries[slot, 2] = content[row]
        verdict[row] = 0
    return made


def _empty(slots: int) -> U64:
    return np.zeros((slots, 3), dtype=np.uint64)


@dataclass(slots=True)
class SeenIds:
    """Which ids were accepted, when (record time, ms) and with which content.

    ``window`` (ms) is the deduplication window W; entries are kept at least ``window + slack`` ms behind the newest record time, so record
    times may run backwards by ``slack``. ``max_ids`` bounds the memory: when it is exceeded, the oldest half goes and ``forgotten_early``
    counts the ids that W would still have covered.
    """

    window: int
    slack: int
    max_ids: int
    count: int = 0
    newest: int = _NEVER
    forgotten_early: int = 0
    _entries: U64 = field(default_factory=lambda: _empty(_SMALLEST))

    def check(self, key: U64, time: I64, content: U64) -> npt.NDArray[np.int8]:
        """Return NEW, DUPLICATE or CONFLICT per row, in order, and remember the new ones. ``key`` is never 0."""
        verdict = np.zeros(len(key), dtype=np.int8)
        if len(key):
            self._make_room(len(key))
            self.count += int(_insert(self._entries, self.window, key, time, content, verdict))
            self.newest = max(self.newest, int(time.max()))
        return verdict

    def reserve(self, count: int) -> None:
        """Make room for ``count`` ids in all and no more, in one go."""
        self._make_room(min(count, self.max_ids) - self.count, slots=2)

    @property
    def arrays(self) -> list[npt.NDArray[Any]]:
        """What it is held in, for now."""
        return [self._entries]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._entries.nbytes

    def _make_room(self, more: int, slots: int = 3) -> None:
        """Let the table have twice as many slots as ids once ``more`` are added; where it has not, ``slots`` times as many."""
        if 2 * (self.count + more) <= len(self._entries):
            return
        used = self._entries[self._entries[:, 0] != 0]
        used = used[self._kept(used[:, 1].view(np.int64), more)]
        self._entries = _empty(max(_SMALLEST, slots * (len(used) + more)))
        key, time, content = (np.ascontiguousarray(used[:, place]) for place in range(3))
        verdict = np.zeros(len(used), dtype=np.int8)
        self.count = int(_insert(self._entries, 0, key, time.view(np.int64), content, verdict))

    def _kept(self, times: I64, more: int) -> npt.NDArray[np.bool_]:
        if not len(times):
            return np.zeros(0, dtype=np.bool_)
        keep: npt.NDArray[np.bool_] = times >= self.newest - self.window - self.slack
        if int(keep.sum()) + more > self.max_ids:
            recent = times > np.median(times[keep])
            self.forgotten_early += int((keep & ~recent & (times >= self.newest - self.window)).sum())
            keep &= recent
        return keep
