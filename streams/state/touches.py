"""The touches a partition remembers: growing columns, found by visitor, click id or lead id.

About 110 bytes a touch and 24 to 48 bytes per distinct visitor, click id and lead id.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.state.chains import Chains
from streams.state.hashing import string_hashes
from streams.steps.models import Touch

KINDS = ("click", "lead")
DIMENSIONS = ("campaign", "affiliate", "offer", "channel", "country", "device")
NEEDED = (
    "visitor_id",
    "click_id",
    "lead_id",
    "route",
    "occurred_at",
    "_record_time",
    "event_hi",
    "event_lo",
    "kind",
    *DIMENSIONS,
    "bot",
)
_FIXED: dict[str, Any] = {
    "visitor": np.uint64,
    "click": np.uint64,
    "lead": np.uint64,
    "route": np.uint32,
    "occurred_at": np.int64,
    "record_time": np.int64,
    "event_hi": np.uint64,
    "event_lo": np.uint64,
    "kind": np.int8,
    "bot": np.int8,
    **dict.fromkeys(DIMENSIONS, np.int32),
}


@dataclass(slots=True)
class Interned:
    """Strings by small numbers."""

    texts: list[str] = field(default_factory=lambda: [""])
    numbers: dict[str, int] = field(default_factory=lambda: {"": 0})

    def codes(self, column: pl.Series) -> npt.NDArray[np.int32]:
        """Return one number per string; new strings get new numbers."""
        encoded = column.to_arrow().dictionary_encode()
        if hasattr(encoded, "combine_chunks"):
            encoded = encoded.combine_chunks()
        known = [self._number(text) for text in encoded.dictionary.to_pylist()]
        numbers: npt.NDArray[np.int32] = np.array(known or [0], dtype=np.int32)
        places: npt.NDArray[np.int64] = encoded.indices.to_numpy(zero_copy_only=False)
        return numbers[places]

    def _number(self, text: str) -> int:
        number = self.numbers.get(text)
        if number is None:
            number = self.numbers[text] = len(self.texts)
            self.texts.append(text)
        return number


def route_codes(routes: pl.Series) -> npt.NDArray[np.uint32]:
    """Return 4-character routes as 32-bit numbers."""
    if not len(routes):
        return np.empty(0, dtype=np.uint32)
    return np.frombuffer("".join(routes.to_list()).encode("ascii"), dtype="<u4")


def route_code(route: str) -> int:
    """Return one route as `route_codes` does."""
    return int.from_bytes(route.encode("ascii"), "little")


@dataclass(slots=True)
class Touches:
    """Clicks and leads of one partition."""

    interned: Interned = field(default_factory=Interned)
    rows: int = 0
    _settled: int = 0
    _columns: dict[str, npt.NDArray[Any]] = field(
        default_factory=lambda: {name: np.empty(4096, dtype=kind) for name, kind in _FIXED.items()}
    )
    _visitors: Chains = field(default_factory=Chains)
    _clicks: Chains = field(default_factory=Chains)
    _leads: Chains = field(default_factory=Chains)

    def add(self, frame: pl.DataFrame) -> dict[str, npt.NDArray[np.uint64]]:
        """Add touches (columns `NEEDED`; times in ms; ``kind`` click or lead) and return their visitor, click and lead hashes.

        The click id of a lead is not its own and is not indexed.
        """
        is_lead = (frame["kind"] == "lead").to_numpy()
        click = string_hashes(frame["click_id"])
        lead = string_hashes(frame["lead_id"])
        hashes = {
            "visitor": string_hashes(frame["visitor_id"]),
            "click": np.where(is_lead, np.uint64(0), click),
            "lead": np.where(is_lead, lead, np.uint64(0)),
        }
        added = {
            **hashes,
            "route": route_codes(frame["route"]),
            "occurred_at": frame["occurred_at"].to_numpy(),
            "record_time": frame["_record_time"].to_numpy(),
            "event_hi": frame["event_hi"].to_numpy(),
            "event_lo": frame["event_lo"].to_numpy(),
            "kind": is_lead.astype(np.int8),
            "bot": frame["bot"].to_numpy(),
            **{name: self.interned.codes(frame[name]) for name in DIMENSIONS},
        }
        self._append(added, frame.height)
        return hashes

    def _append(self, added: dict[str, npt.NDArray[Any]], count: int) -> None:
        end = self.rows + count
        for name, values in added.items():
            column = self._columns[name]
            if end > len(column):
                column = self._columns[name] = np.resize(column, max(end, 2 * len(column)))
            column[self.rows : end] = values
        for chains, name in ((self._visitors, "visitor"), (self._clicks, "click"), (self._leads, "lead")):
            chains.add(np.ascontiguousarray(added[name]))
        self.rows = end

    def visitor_of(self, route: int, click: int, lead: int, until: int) -> int:
        """Return the hash of the visitor that a click id (else a lead id) leads to, 0 if neither does.

        Only touches on ``route`` with ``occurred_at <= until`` count, the earliest by (occurred_at, event id) first.
        """
        for chains, wanted in ((self._clicks, click), (self._leads, lead)):
            rows = self._eligible(chains.find(wanted), route, until) if wanted else []
            if rows:
                return int(self._columns["visitor"][min(rows, key=self._order)])
        return 0

    def clicks_of(self, route: int, visitor: int, since: int, until: int) -> list[Touch]:
        """Return the visitor's clicks on ``route`` with ``since <= occurred_at <= until``, sorted by (occurred_at, event id).

        A click that is remembered twice (its id was accepted again after the deduplication window) counts once.
        """
        occurred, kind = self._columns["occurred_at"], self._columns["kind"]
        rows = [
            row
            for row in self._eligible(self._visitors.find(visitor), route, until)
            if occurred[row] >= since and kind[row] == 0
        ]
        return list(dict.fromkeys(self._touch(row) for row in sorted(rows, key=self._order)))

    def expire(self, floor: int) -> None:
        """Forget touches with a record time (ms) below ``floor``, but none that came since the last call: the journal may not have them yet."""
        keep = self._columns["record_time"][: self.rows] >= floor
        keep[self._settled :] = True
        if not keep.all():
            kept = {name: column[: self.rows][keep] for name, column in self._columns.items()}
            self.rows = 0
            self._columns = {name: np.empty(4096, dtype=kind) for name, kind in _FIXED.items()}
            self._visitors, self._clicks, self._leads = Chains(), Chains(), Chains()
            self._append(kept, int(keep.sum()))
        self._settled = self.rows

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        chains = self._visitors.nbytes + self._clicks.nbytes + self._leads.nbytes
        return chains + sum(column.nbytes for column in self._columns.values())

    def _eligible(self, rows: list[int], route: int, until: int) -> list[int]:
        routes, occurred = self._columns["route"], self._columns["occurred_at"]
        return [row for row in rows if routes[row] == route and occurred[row] <= until]

    def _order(self, row: int) -> tuple[int, int]:
        return int(self._columns["occurred_at"][row]), self._event_id(row)

    def _event_id(self, row: int) -> int:
        return (int(self._columns["event_hi"][row]) << 64) | int(self._columns["event_lo"][row])

    def _touch(self, row: int) -> Touch:
        texts = self.interned.texts
        columns = self._columns
        campaign, affiliate, offer, channel, country, device = [
            texts[columns[name][row]] for name in DIMENSIONS
        ]
        return Touch(
            int(columns["occurred_at"][row]),
            self._event_id(row),
            KINDS[columns["kind"][row]],
            campaign,
            affiliate,
            offer,
            channel,
            country,
            device,
            int(columns["bot"][row]),
        )
