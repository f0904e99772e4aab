"""The credits in force that a partition remembers: growing columns, about 110 bytes a credit; texts as numbers of `interned`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.state.columns import compacted, grown
from streams.state.interned import Interned

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[Any]]

TEXTS = (
    *("model", "touch_kind", "campaign", "affiliate", "offer", "channel", "country", "device"),
    *("status", "currency", "goal"),
)
NUMBERS: Mapping[str, Any] = {
    "model_version": pl.UInt16,
    "weight": pl.Int64,
    "value": pl.Int64,
    "payout": pl.Int64,
    "touch_hi": pl.UInt64,
    "touch_lo": pl.UInt64,
    "touch_at": pl.Int64,
    "bot": pl.UInt8,
    "occurred_at": pl.Int64,
}
COLUMNS = (*TEXTS, *NUMBERS)
_SMALLEST = 1024


def credited(interned: Interned) -> Mapping[str, Callable[[I64, U8], npt.NDArray[Any]]]:
    """Return what makes of a credit's texts, given as offsets and bytes, their numbers, by column."""
    return dict.fromkeys(TEXTS, interned.of_bytes)


@dataclass(slots=True)
class Credits:
    """Credits in force. Those of one request are neighbours; the request knows from where to where."""

    interned: Interned = field(default_factory=Interned)
    rows: int = 0
    _columns: Columns = field(default_factory=lambda: _empty(_SMALLEST))

    def add(self, added: Mapping[str, npt.NDArray[Any]]) -> int:
        """Add rows (`COLUMNS`, texts as numbers) and return where they begin."""
        start, self.rows = self.rows, self.rows + len(added["weight"])
        for name in COLUMNS:
            column = self._columns[name]
            if self.rows > len(column):
                column = self._columns[name] = grown(column, self.rows)
            column[start : self.rows] = added[name]
        return start

    def gather(self, rows: I64) -> Columns:
        """Return the columns of ``rows``."""
        return {name: column[rows] for name, column in self._columns.items()}

    def keep(self, rows: I64) -> None:
        """Forget all but ``rows``, which are numbered anew in their order."""
        self.rows = len(rows)
        self._columns = {name: compacted(column, rows, _SMALLEST) for name, column in self._columns.items()}

    def coded(self, frame: pl.DataFrame) -> Columns:
        """Return the columns of a frame of credits with their texts, or with what `credited` makes of them."""
        texts = {name: self.interned.codes(frame[name]) for name in TEXTS}
        return texts | {name: frame[name].to_numpy() for name in NUMBERS}

    def frame(self, columns: Mapping[str, npt.NDArray[Any]]) -> pl.DataFrame:
        """Return columns as a frame with their texts."""
        texts = [self.interned.series(columns[name]).alias(name) for name in TEXTS]
        numbers = [pl.Series(name, columns[name]).cast(kind) for name, kind in NUMBERS.items()]
        return pl.DataFrame([*texts, *numbers])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(column.nbytes for column in self._columns.values())


def _empty(rows: int) -> Columns:
    small = {name: np.empty(rows, dtype=np.int32) for name in TEXTS}
    return small | {name: np.empty(rows, dtype=kind.__name__.lower()) for name, kind in NUMBERS.items()}
