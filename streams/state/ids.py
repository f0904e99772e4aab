"""The ids a partition of a topic has seen, for deduplication: an open-addressing table of 64-bit hashes.

24 bytes an entry, at most half full: 48 to 96 bytes per remembered id.
"""

from dataclasses import dataclass, field

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
    keys: U64,
    times: I64,
    contents: U64,
    window: int,
    key: U64,
    time: I64,
    content: U64,
    verdict: npt.NDArray[np.int8],
) -> int:
    """Look up and insert row by row, in order; return how many new entries were made."""
    mask = np.uint64(len(keys) - 1)
    made = 0
    for row in range(len(key)):
        slot = key[row] & mask
        while keys[slot] != 0 and keys[slot] != key[row]:
            slot = (slot + np.uint64(1)) & mask
        if keys[slot] != 0 and time[row] - times[slot] <= window:
            verdict[row] = 1 if contents[slot] == content[row] else 2
            continue
        made += keys[slot] == 0
        keys[slot] = key[row]
        times[slot] = time[row]
        contents[slot] = content[row]
        verdict[row] = 0
    return made


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
    _keys: U64 = field(default_factory=lambda: np.zeros(_SMALLEST, dtype=np.uint64))
    _times: I64 = field(default_factory=lambda: np.zeros(_SMALLEST, dtype=np.int64))
    _contents: U64 = field(default_factory=lambda: np.zeros(_SMALLEST, dtype=np.uint64))

    def check(self, key: U64, time: I64, content: U64) -> npt.NDArray[np.int8]:
        """Return NEW, DUPLICATE or CONFLICT per row, in order, and remember the new ones. ``key`` is never 0."""
        verdict = np.zeros(len(key), dtype=np.int8)
        if len(key):
            self._make_room(len(key))
            self.count += int(
                _insert(self._keys, self._times, self._contents, self.window, key, time, content, verdict)
            )
            self.newest = max(self.newest, int(time.max()))
        return verdict

    def reserve(self, count: int) -> None:
        """Make room for ``count`` ids in all, in one go."""
        self._make_room(min(count, self.max_ids) - self.count)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._keys.nbytes + self._times.nbytes + self._contents.nbytes

    def _make_room(self, more: int) -> None:
        if 2 * (self.count + more) <= len(self._keys):
            return
        used = self._keys != 0
        keys, times, contents = self._keys[used], self._times[used], self._contents[used]
        keep = self._kept(times, more)
        keys, times, contents = keys[keep], times[keep], contents[keep]
        size = _SMALLEST
        while size < 3 * (len(keys) + more):
            size *= 2
        self._keys = np.zeros(size, dtype=np.uint64)
        self._times = np.zeros(size, dtype=np.int64)
        self._contents = np.zeros(size, dtype=np.uint64)
        self.count = int(
            _insert(
                self._keys,
                self._times,
                self._contents,
                0,
                keys,
                times,
                contents,
                np.zeros(len(keys), dtype=np.int8),
            )
        )

    def _kept(self, times: I64, more: int) -> npt.NDArray[np.bool_]:
        if not len(times):
            return np.zeros(0, dtype=np.bool_)
        keep: npt.NDArray[np.bool_] = times >= self.newest - self.window - self.slack
        if int(keep.sum()) + more > self.max_ids:
            recent = times > np.median(times[keep])
            self.forgotten_early += int((keep & ~recent & (times >= self.newest - self.window)).sum())
            keep &= recent
        return keep
