"""Strings by small numbers, for columns in memory."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from threading import Lock

import numpy as np
import numpy.typing as npt
import polars as pl

I32 = npt.NDArray[np.int32]


@dataclass(slots=True)
class Interned:
    """Strings by small numbers; the empty one is 0. Several threads may number."""

    texts: list[str] = field(default_factory=lambda: [""])
    numbers: dict[str, int] = field(default_factory=lambda: {"": 0})
    _series: pl.Series = field(default_factory=lambda: pl.Series([""]))
    _numbering: Lock = field(default_factory=Lock, repr=False, compare=False)

    def codes(self, column: pl.Series) -> I32:
        """Return one number per string; new strings get new numbers. What is numbers already stays."""
        if column.dtype == pl.Int32:
            return column.to_numpy()
        encoded = column.to_arrow().dictionary_encode()
        if hasattr(encoded, "combine_chunks"):
            encoded = encoded.combine_chunks()
        known = self.of(encoded.dictionary.to_pylist())
        numbers = known if len(known) else np.zeros(1, dtype=np.int32)
        places: npt.NDArray[np.int64] = encoded.indices.to_numpy(zero_copy_only=False)
        return numbers[places]

    def of(self, texts: Iterable[str]) -> I32:
        """Return one number per text of a few."""
        return np.array([self._number(text) for text in texts], dtype=np.int32)

    def of_bytes(self, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> I32:
        """Return one number per text of a few, given as offsets (one more than texts) and their bytes."""
        return self.of(data[start:end].tobytes().decode() for start, end in pairwise(offsets.tolist()))

    def series(self, codes: I32) -> pl.Series:
        """Return the strings that ``codes`` stand for."""
        known = len(self._series)
        if known < len(self.texts):
            self._series = pl.concat((self._series, pl.Series(self.texts[known:])), rechunk=True)
        return self._series.gather(codes)

    def _number(self, text: str) -> int:
        number = self.numbers.get(text)
        if number is None:
            with self._numbering:
                number = self.numbers.get(text)
                if number is None:
                    number = len(self.texts)
                    self.texts.append(text)
                    self.numbers[text] = number
        return number
