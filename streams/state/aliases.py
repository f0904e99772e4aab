"""Ids that lead to a visitor of another route: what a partition remembers of them (docs/rules.md, section 7).

About 150 bytes each.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.state.chains import Chains
from streams.state.columns import compacted, grown
from streams.state.links import DEFAULT_LIMIT

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
_SMALLEST = 64
_FIXED: dict[str, Any] = {
    "id": np.uint64,
    "route": np.uint32,
    "occurred_at": np.int64,
    "record_time": np.int64,
    "event_hi": np.uint64,
    "event_lo": np.uint64,
}


class Lead(NamedTuple):
    """The touch by which an id leads to ``visitor``; the earliest counts. ``occurred_at``: ms UTC, ``event_id``: the 128-bit integer."""

    occurred_at: int
    event_id: int
    visitor: str


@dataclass(slots=True)
class Aliases:
    """Foreign ids of one kind (of clicks, or of leads). One that more than ``limit`` visitors carry leads nowhere, and is not counted on."""

    limit: int = DEFAULT_LIMIT
    rows: int = 0
    _settled: int = 0
    _columns: dict[str, npt.NDArray[Any]] = field(
        default_factory=lambda: {name: np.empty(0, dtype=kind) for name, kind in _FIXED.items()}
    )
    _visitors: list[str] = field(default_factory=list)
    _chains: Chains = field(default_factory=Chains)

    def add(self, columns: dict[str, npt.NDArray[Any]], visitors: Sequence[str]) -> None:
        """Add one alias per row: ``columns`` are those of `_FIXED` (ids as hashes, times in ms). Of an id with too many visitors, those that are
        known are enough."""
        ids, routes = columns["id"], columns["route"]
        different, which = np.unique(ids, return_inverse=True)
        carried = np.bincount(which, minlength=len(different))
        carried += np.bincount(self._chains.find(different).places, minlength=len(different))
        keep = np.ones(len(ids), dtype=np.bool_)
        known: dict[tuple[int, int], set[str]] = {}
        # A loop over rows: those of ids that often come, and so may be carried by many.
        for place in np.flatnonzero((carried > self.limit)[which]).tolist():
            at = int(ids[place]), int(routes[place])
            if at not in known:
                known[at] = self.visitors(*at)
            keep[place] = len(known[at]) <= self.limit
            if keep[place]:
                known[at].add(visitors[place])
        self._append(
            {name: columns[name][keep] for name in _FIXED},
            [visitor for visitor, kept in zip(visitors, keep.tolist(), strict=True) if kept],
        )

    def _append(self, added: dict[str, npt.NDArray[Any]], visitors: Sequence[str]) -> None:
        end = self.rows + len(visitors)
        for name, values in added.items():
            column = self._columns[name]
            if end > len(column):
                column = self._columns[name] = grown(column, max(end, _SMALLEST))
            column[self.rows : end] = values
        self._chains.add(np.ascontiguousarray(added["id"]))
        self._visitors.extend(visitors)
        self.rows = end

    def known(self, ids: U64, routes: U32) -> npt.NDArray[np.bool_]:
        """Return which of the hashes ``ids`` lead to anybody from their ``routes``."""
        found = np.zeros(len(ids), dtype=np.bool_)
        if self.rows:
            places, rows = self._chains.find(ids)
            found[places[self._columns["route"][rows] == routes[places]]] = True
        return found

    def visitors(self, identifier: int, route: int) -> set[str]:
        """Return every visitor that carries the id, whenever; of one that too many carry, more than the limit of them."""
        return {self._visitors[row] for row in self._rows(identifier, route)}

    def crowded(self, identifier: int, route: int) -> bool:
        """Return whether more visitors than the limit carry the id."""
        return len(self.visitors(identifier, route)) > self.limit

    def lead(self, identifier: int, route: int, until: int) -> Lead | None:
        """Return the earliest touch with ``occurred_at <= until`` (ms) by which the id leads to a visitor, None if there is none or it is crowded."""
        if self.crowded(identifier, route):
            return None
        columns = self._columns
        leads = (
            Lead(
                int(columns["occurred_at"][row]),
                int(columns["event_hi"][row]) << 64 | int(columns["event_lo"][row]),
                self._visitors[row],
            )
            for row in self._rows(identifier, route)
        )
        return min((lead for lead in leads if lead.occurred_at <= until), default=None)

    def expire(self, floor: int) -> None:
        """Forget aliases with a record time (ms) below ``floor``, but none that came since the last call: the journal may not have them yet."""
        keep = self._columns["record_time"][: self.rows] >= floor
        keep[self._settled :] = True
        if not keep.all():
            rows = np.flatnonzero(keep)
            self.rows, self._visitors = len(rows), [self._visitors[row] for row in rows.tolist()]
            self._columns = {
                name: compacted(column, rows, _SMALLEST) for name, column in self._columns.items()
            }
            self._chains.replace(self._columns["id"][: self.rows])
        self._settled = self.rows

    def _rows(self, identifier: int, route: int) -> list[int]:
        rows = self._chains.find(np.array([identifier], dtype=np.uint64)).rows
        return [] if not self.rows else rows[self._columns["route"][rows] == route].tolist()

    @property
    def nbytes(self) -> int:
        """Bytes held, but for the texts."""
        return self._chains.nbytes + sum(column.nbytes for column in self._columns.values())
