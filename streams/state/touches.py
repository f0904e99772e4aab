"""The touches a partition remembers: growing columns, found by visitor, click id or lead id.

About 110 bytes a touch and 24 to 48 bytes per distinct visitor, click id and lead id.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.state.chains import Chains, Found
from streams.state.hashing import string_hashes
from streams.steps.models import Touch

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

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

    def visitors_of(self, routes: U32, clicks: U64, leads: U64, until: I64) -> U64:
        """Return per row the hash of the visitor that a click id (else a lead id) leads to, 0 if neither does.

        Arguments are arrays of one length: route codes, hashes (0: not named), times in ms. Only touches on the row's route with
        ``occurred_at <= until`` count, the earliest by (occurred_at, event id) first.
        """
        found = np.zeros(len(routes), dtype=np.uint64)
        for chains, wanted in ((self._leads, leads), (self._clicks, clicks)):
            places, rows = self._eligible(chains.find(wanted), routes, until)
            first = np.flatnonzero(np.diff(places, prepend=-1))
            found[places[first]] = self._columns["visitor"][rows[first]]
        return found

    def journeys(self, routes: U32, visitors: U64, since: I64, until: I64) -> list[list[Touch]]:
        """Return per row the visitor's clicks on its route with ``since <= occurred_at <= until``, sorted by (occurred_at, event id).

        Arguments are arrays of one length. A click that is remembered twice (its id was accepted again after the deduplication window)
        counts once.
        """
        places, rows = self._eligible(self._visitors.find(visitors), routes, until)
        clicks = (self._columns["occurred_at"][rows] >= since[places]) & (self._columns["kind"][rows] == 0)
        places, rows = places[clicks], rows[clicks]
        touches = self._touches(rows)
        ends = np.searchsorted(places, np.arange(len(routes)), side="right").tolist()
        return (
            [
                list(dict.fromkeys(touches[start:end]))
                for start, end in zip([0, *ends[:-1]], ends, strict=True)
            ]
            if ends
            else []
        )

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

    def _eligible(self, found: Found, routes: U32, until: I64) -> Found:
        """Keep what is on the right route and not too late; sort each place's rows by (occurred_at, event id)."""
        places, rows = found
        columns = self._columns
        keep = (columns["route"][rows] == routes[places]) & (columns["occurred_at"][rows] <= until[places])
        places, rows = places[keep], rows[keep]
        keys = (columns["event_lo"][rows], columns["event_hi"][rows], columns["occurred_at"][rows], places)
        order = np.lexsort(keys)
        return Found(places[order], rows[order])

    def _touches(self, rows: I64) -> list[Touch]:
        columns, texts = self._columns, self.interned.texts
        high, low = columns["event_hi"][rows].tolist(), columns["event_lo"][rows].tolist()
        dimensions = [[texts[code] for code in columns[name][rows].tolist()] for name in DIMENSIONS]
        return list(
            map(
                Touch,
                columns["occurred_at"][rows].tolist(),
                [(upper << 64) | lower for upper, lower in zip(high, low, strict=True)],
                [KINDS[kind] for kind in columns["kind"][rows].tolist()],
                *dimensions,
                columns["bot"][rows].tolist(),
            )
        )
