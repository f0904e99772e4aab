"""Texts and hashes by hash, packed: what is never forgotten must take little.

What is new waits in a dict, since packing many costs hardly more than packing one.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.state.chains import Chains
from streams.state.columns import grown
from streams.steps.columns import string_bytes

U64 = npt.NDArray[np.uint64]
WAITING = 1024


@dataclass(slots=True)
class Texts:
    """One text per hash, for ever: its bytes in UTF-8 and some 30 more."""

    _new: dict[int, str] = field(default_factory=dict)
    _chains: Chains = field(default_factory=Chains)
    _ends: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    _bytes: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, dtype=np.uint8))

    def fill(self, numbers: U64, texts: pl.Series) -> None:
        """Remember the texts of hashes, none of them 0, in one go."""
        self._pack()
        _, first = np.unique(numbers, return_index=True)
        first = first[~self._chains.holds(numbers[first])]
        self._append(numbers[first], *string_bytes(texts.gather(first)))

    def put(self, number: int, text: str) -> None:
        """Remember the text of a hash, which is not 0."""
        if number not in self._new and self._chains.newest(number) < 0:
            self._new[number] = text
            if len(self._new) >= WAITING:
                self._pack()

    def get(self, number: int) -> str:
        """Return the text of a hash. Raises KeyError if it was not put."""
        text = self._new.get(number)
        if text is not None:
            return text
        row = self._chains.newest(number)
        if row < 0:
            raise KeyError(number)
        return self._bytes[self._ends[row] : self._ends[row + 1]].tobytes().decode()

    def of(self, numbers: U64) -> list[str]:
        """Return the text of each hash. Raises KeyError if one was not put."""
        self._pack()
        rows = self._chains.find(numbers).rows
        if len(rows) < len(numbers):
            raise KeyError(numbers[~self._chains.holds(numbers)].tolist())
        starts, ends = self._ends[rows].tolist(), self._ends[rows + 1].tolist()
        return [self._bytes[start:end].tobytes().decode() for start, end in zip(starts, ends, strict=True)]

    def _pack(self) -> None:
        if self._new:
            numbers = np.array(list(self._new), dtype=np.uint64)
            self._append(numbers, *string_bytes(pl.Series(list(self._new.values()))))
            self._new.clear()

    def _append(self, numbers: U64, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> None:
        start, end = self._chains.rows, self._chains.rows + len(numbers)
        if end >= len(self._ends):
            self._ends = grown(self._ends, end + 1)
        self._ends[start + 1 : end + 1] = self._ends[start] + offsets[1:] - offsets[0]
        if self._ends[end] > len(self._bytes):
            self._bytes = grown(self._bytes, int(self._ends[end]))
        self._bytes[self._ends[start] : self._ends[end]] = data[offsets[0] : offsets[-1]]
        self._chains.add(numbers)

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

    def fill(self, keys: U64, values: U64) -> None:
        """Add values, one to each of ``keys``, in one go."""
        self._pack()
        start, end = self._chains.rows, self._chains.rows + len(keys)
        if end > len(self._values):
            self._values = grown(self._values, end)
        self._values[start:end] = values
        self._chains.add(np.ascontiguousarray(keys))
        self.count += len(keys)

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
            return list(self._new.get(key, ()))
        rows = self._chains.find(np.array([key], dtype=np.uint64)).rows
        return [*self._values[rows].tolist(), *self._new.get(key, ())]

    def newest(self, keys: U64) -> U64:
        """Return the newest value of each of ``keys``, all of which have one."""
        self._pack()
        places, rows = self._chains.find(keys)
        return self._values[rows[np.flatnonzero(np.diff(places, prepend=-1))]]

    def holds(self, keys: U64) -> npt.NDArray[np.bool_]:
        """Return which of ``keys`` have a value."""
        if not self.count:
            return np.zeros(len(keys), dtype=np.bool_)
        self._pack()
        return self._chains.holds(keys)

    def _pack(self) -> None:
        if self._waiting:
            pairs = [(key, value) for key, values in self._new.items() for value in values]
            self._new.clear()
            self.count -= self._waiting
            self._waiting = 0
            self.fill(*np.array(pairs, dtype=np.uint64).T)

    @property
    def nbytes(self) -> int:
        """Bytes held, but for what waits."""
        return self._chains.nbytes + self._values.nbytes
