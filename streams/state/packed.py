"""Texts and hashes by hash, packed: what is never forgotten must take little.

What is new waits in a dict, since packing many costs hardly more than packing one.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streams.state.chains import Chains
from streams.state.columns import grown

U64 = npt.NDArray[np.uint64]
WAITING = 1024


@dataclass(slots=True)
class Texts:
    """One text per hash, for ever: its bytes in UTF-8 and some 30 more."""

    _new: dict[int, str] = field(default_factory=dict)
    _chains: Chains = field(default_factory=Chains)
    _ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    _bytes: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))

    def put(self, number: int, text: str) -> None:
        """Remember the text of a hash, which is not 0."""
        if number not in self._new and self._chains.newest(number) < 0:
            self._new[number] = text
            if len(self._new) >= WAITING:
                self._pack()

    def get(self, number: int) -> str:
        """Return the text of a hash that was put."""
        text = self._new.get(number)
        if text is not None:
            return text
        row = self._chains.newest(number)
        if row < 0:
            raise KeyError(number)
        return self._bytes[self._ends[row] : self._ends[row + 1]].tobytes().decode()

    def _pack(self) -> None:
        encoded = [text.encode() for text in self._new.values()]
        start = self._chains.rows
        end = start + len(encoded)
        if end >= len(self._ends):
            self._ends = grown(self._ends, end + 1)
        self._ends[start + 1 : end + 1] = self._ends[start] + np.cumsum([len(text) for text in encoded])
        if self._ends[end] > len(self._bytes):
            self._bytes = grown(self._bytes, int(self._ends[end]))
        self._bytes[self._ends[start] : self._ends[end]] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        self._chains.add(np.array(list(self._new), dtype=np.uint64))
        self._new.clear()

    @property
    def nbytes(self) -> int:
        """Bytes held, but for what waits."""
        return self._chains.nbytes + self._ends.nbytes + self._bytes.nbytes


@dataclass(slots=True)
class Lists:
    """Hashes by hash, several each, for ever: some 40 bytes a pair."""

    count: int = 0
    _new: dict[int, list[int]] = field(default_factory=dict)
    _waiting: int = 0
    _chains: Chains = field(default_factory=Chains)
    _values: U64 = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def add(self, key: int, value: int) -> None:
        """Add a value to those of ``key``, neither of them 0."""
        self._new.setdefault(key, []).append(value)
        self.count += 1
        self._waiting += 1
        if self._waiting >= WAITING:
            self._pack()

    def of(self, key: int) -> list[int]:
        """Return the values of ``key``."""
        if self._chains.newest(key) < 0:
            return self._new.get(key, [])
        rows = self._chains.find(np.array([key], dtype=np.uint64)).rows
        return [*self._values[rows].tolist(), *self._new.get(key, ())]

    def holds(self, keys: U64) -> npt.NDArray[np.bool_]:
        """Return which of ``keys`` have a value."""
        if not self.count:
            return np.zeros(len(keys), dtype=np.bool_)
        self._pack()
        return self._chains.holds(keys)

    def _pack(self) -> None:
        if not self._waiting:
            return
        pairs = [(key, value) for key, values in self._new.items() for value in values]
        keys, values = np.array(pairs, dtype=np.uint64).T
        start, end = self._chains.rows, self._chains.rows + len(pairs)
        if end > len(self._values):
            self._values = grown(self._values, end)
        self._values[start:end] = values
        self._chains.add(np.ascontiguousarray(keys))
        self._new.clear()
        self._waiting = 0

    @property
    def nbytes(self) -> int:
        """Bytes held, but for what waits."""
        return self._chains.nbytes + self._values.nbytes
