"""The touches a partition remembers: growing columns, found by visitor, click id or lead id.

About 110 bytes a touch and 24 to 48 bytes per distinct visitor, click id and lead id. Impressions are among them where a model looks at them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.attribution import TOUCH_KINDS
from streams.state.chains import Chains, Found
from streams.state.columns import compacted, grown
from streams.state.hashing import string_hashes
from streams.state.interned import Interned
from streams.steps.columns import string_bytes
from streams.steps.models import Journeys

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

KINDS = pl.Enum(TOUCH_KINDS)
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
_SMALLEST = 4096
_FIXED: dict[str, Any] = {
    "visitor": np.uint64,
    "click": np.uint64,
    "lead": np.uint64,
    "origin": np.uint64,
    "route": np.uint32,
    "occurred_at": np.int64,
    "record_time": np.int64,
    "event_hi": np.uint64,
    "event_lo": np.uint64,
    "kind": np.int8,
    "bot": np.int8,
    **dict.fromkeys(DIMENSIONS, np.int32),
}


def route_codes(routes: pl.Series) -> npt.NDArray[np.uint32]:
    """Return 4-character routes as 32-bit numbers. Numbers are such already."""
    return routes.to_numpy() if routes.dtype == pl.UInt32 else text_codes(*string_bytes(routes))


def text_codes(offsets: I64, data: npt.NDArray[np.uint8]) -> U32:
    """Return what `route_codes` does, of routes given as offsets (one more than routes) and their bytes."""
    return data[: 4 * (len(offsets) - 1)].view("<u4")


BY_LEAD, BY_CLICK = 1 << 43, 1 << 44
"""What a time in ms is taken from to make a step: a click counts for more than a lead, an earlier touch for more than a later one."""


def step_of(least: int, occurred_at: int, event_hi: int) -> int:
    """Return what `steps_of` does, of one touch."""
    return ((least - occurred_at) << 16) + (0xFFFF - (event_hi >> 48))


def steps_of(least: int, occurred_at: I64, event_hi: U64) -> I64:
    """Return the steps of touches: of two at one moment the one with the smaller event id counts for more."""
    first = (event_hi >> np.uint64(48)).astype(np.int64)
    return ((least - occurred_at) << 16) + (0xFFFF - first)


GATHERED = ("event_hi", "event_lo", "occurred_at", "kind", *DIMENSIONS, "bot")


class Led(NamedTuple):
    """``visitors[i]`` (a hash) is whom the id at ``places[i]`` of those asked for leads to."""

    places: I64
    visitors: U64


def _origins(frame: pl.DataFrame, visitors: U64) -> U64:
    if "origin" not in frame.columns:
        return visitors
    origins = string_hashes(frame["origin"])
    return np.where(origins == 0, visitors, origins)


def remembered(interned: Interned) -> Mapping[str, Callable[[I64, U8], npt.NDArray[Any]]]:
    """Return what makes of a touch's texts, given as offsets and bytes, what is remembered of them, by column: a string for each takes ten times as
    long."""
    return {"route": text_codes, "kind": _kinds, **dict.fromkeys(DIMENSIONS, interned.of_bytes)}


def _kinds(offsets: I64, data: U8) -> npt.NDArray[np.int8]:
    """Return the places of kinds in `TOUCH_KINDS`; a LowCardinality may have the empty text among its keys, though no row has it."""
    texts = [data[start:end].tobytes().decode() for start, end in pairwise(offsets.tolist())]
    return np.array([TOUCH_KINDS.index(text) if text else -1 for text in texts], dtype=np.int8)


def touch_columns(frame: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    """Return the columns of touches (`NEEDED`; times in ms) as they are remembered, but for their dimensions. What `remembered` made stays.

    The click id of a lead is not its own and leads nowhere.
    """
    kinds = frame["kind"]
    kind = kinds.to_numpy() if kinds.dtype == pl.Int8 else kinds.cast(KINDS).to_physical().to_numpy()
    visitors = string_hashes(frame["visitor_id"])
    ids = {name: np.zeros(frame.height, dtype=np.uint64) for name in ("click", "lead")}
    for place, name in enumerate(ids):
        own = np.flatnonzero(kind == place)
        if len(own):
            ids[name][own] = string_hashes(frame[f"{name}_id"].gather(own))
    return {
        "visitor": visitors,
        **ids,
        "origin": _origins(frame, visitors),
        "route": route_codes(frame["route"]),
        "occurred_at": frame["occurred_at"].to_numpy(),
        "record_time": frame["_record_time"].to_numpy(),
        "event_hi": frame["event_hi"].to_numpy(),
        "event_lo": frame["event_lo"].to_numpy(),
        "kind": kind,
        "bot": frame["bot"].to_numpy(),
    }


@dataclass(slots=True)
class Touches:
    """Clicks, leads and impressions of one partition."""

    interned: Interned = field(default_factory=Interned)
    rows: int = 0
    _settled: int = 0
    _columns: dict[str, npt.NDArray[Any]] = field(
        default_factory=lambda: {name: np.empty(_SMALLEST, dtype=kind) for name, kind in _FIXED.items()}
    )
    _visitors: Chains = field(default_factory=Chains)
    _clicks: Chains = field(default_factory=Chains)
    _leads: Chains = field(default_factory=Chains)

    def add(self, frame: pl.DataFrame) -> dict[str, npt.NDArray[np.uint64]]:
        """Add touches (columns `NEEDED`; times in ms; all of one ``kind``, or restored) and return their hashes, by visitor, click and lead,
        as far as they lead to a touch.

        The click id of a lead is not its own and is not indexed. A touch with an ``origin`` happened to that visitor and was sent on.
        """
        columns = touch_columns(frame)
        self.put(columns | {name: self.interned.codes(frame[name]) for name in DIMENSIONS})
        leading = (name for name in ("visitor", "click", "lead") if name == "visitor" or columns[name].any())
        return {name: columns[name] for name in leading}

    def put(self, columns: dict[str, npt.NDArray[Any]], rows: I64 | None = None) -> None:
        """Add touches by what `touch_columns` makes of them, and the numbers of their dimensions; of all or of ``rows``."""
        end = self.rows + len(columns["visitor"] if rows is None else rows)
        for name, values in columns.items():
            column = self._columns[name]
            if end > len(column):
                column = self._columns[name] = grown(column, end)
            if rows is None:
                column[self.rows : end] = values
            else:
                # By "raise" NumPy would write elsewhere first.
                values.astype(column.dtype, copy=False).take(rows, out=column[self.rows : end], mode="clip")
        for chains, name in self._chains():
            chains.add(self._columns[name][self.rows : end])
        self.rows = end

    def _chains(self) -> Sequence[tuple[Chains, str]]:
        return (self._visitors, "visitor"), (self._clicks, "click"), (self._leads, "lead")

    def reserve(self, rows: int) -> None:
        """Make room for ``rows`` touches in all, in one go."""
        for name, column in self._columns.items():
            if rows > len(column):
                self._columns[name] = grown(column, rows)
        self._visitors.reserve(rows)

    def visitors_of(self, routes: U32, clicks: U64, leads: U64, until: I64) -> tuple[U64, I64, I64]:
        """Return per row the hash of the visitor that a click id (else a lead id) leads to, 0 if neither does, the step: it grows as better
        touches become known; and the row of the touch (for `gather`), −1 if there is none.

        Arguments are arrays of one length: route codes, hashes (0: not named), times in ms. Only touches on the row's route with
        ``occurred_at <= until`` count, the earliest by (occurred_at, event id) first.
        """
        found = np.zeros(len(routes), dtype=np.uint64)
        steps = np.zeros(len(routes), dtype=np.int64)
        found_in = np.full(len(routes), -1, dtype=np.int64)
        for chains, wanted, least in ((self._leads, leads, BY_LEAD), (self._clicks, clicks, BY_CLICK)):
            places, rows = self._eligible(chains.find(wanted), routes, until)
            first = np.flatnonzero(np.diff(places, prepend=-1))
            found[places[first]] = self._columns["visitor"][rows[first]]
            at, high = (self._columns[name][rows[first]] for name in ("occurred_at", "event_hi"))
            steps[places[first]] = steps_of(least, at, high)
            found_in[places[first]] = rows[first]
        return found, steps, found_in

    def journeys(
        self, routes: U32, visitors: U64, since: I64, until: I64, only: U64 | None = None
    ) -> tuple[Journeys, I64]:
        """Return the visitors' touches on their routes with ``since <= occurred_at <= until``, and their rows (for `gather`).

        Arguments are arrays of one length; where ``only`` is not 0, no touches but those of that
        origin. A touch that is remembered twice (its id was accepted again after the deduplication window)
        counts once.
        """
        places, rows = self._eligible(self._visitors.find(visitors), routes, until)
        recent = self._columns["occurred_at"][rows] >= since[places]
        if only is not None:
            recent &= (only[places] == 0) | (self._columns["origin"][rows] == only[places])
        places, rows = self._distinct(places[recent], rows[recent])
        columns = self._columns
        age = until[places] - columns["occurred_at"][rows]
        kind, channel = columns["kind"][rows], columns["channel"][rows]
        return Journeys(places, age, kind, channel, self.interned.numbers), rows

    def gather(self, rows: I64) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of the touches in ``rows``; dimensions as numbers of `interned`."""
        return {name: self._columns[name][rows] for name in GATHERED}

    def event_id(self, row: int) -> int:
        """Return the event id of the touch in ``row`` as a 128-bit integer, 0 for row −1."""
        if row < 0:
            return 0
        return int(self._columns["event_hi"][row]) << 64 | int(self._columns["event_lo"][row])

    def led_to(self, named: U64) -> Led:
        """Return every visitor that a click or lead id among the hashes ``named`` leads to, whenever that was."""
        found = [chains.find(named) for chains in (self._clicks, self._leads)]
        places, rows = (np.concatenate(columns) for columns in zip(*found, strict=True))
        return Led(places, self._columns["visitor"][rows])

    def of_visitor(self, visitor: int) -> I64:
        """Return the rows of all touches of the visitor with that hash."""
        return self._visitors.find(np.array([visitor], dtype=np.uint64)).rows

    def moving(self, rows: I64) -> dict[str, npt.NDArray[Any]]:
        """Return what is sent on of the touches in ``rows``: what `gather` does, hashes of their origins, and record times (ms)."""
        return self.gather(rows) | {name: self._columns[name][rows] for name in ("origin", "record_time")}

    def _distinct(self, places: I64, rows: I64) -> tuple[I64, I64]:
        """Leave touches out that are there before, and order those that only time and event id do not order."""
        keys: list[npt.NDArray[Any]] = [
            places,
            *(self._columns[name][rows] for name in ("occurred_at", "event_hi", "event_lo")),
        ]
        again = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
        for key in keys:
            again &= key[1:] == key[:-1]
        if not again.any():
            return places, rows
        # A loop over rows: an id comes again after the deduplication window by mishap only.
        texts = self.interned.texts
        found: dict[tuple[Any, ...], tuple[int, int]] = {}
        details = [self._columns[name][rows].tolist() for name in ("kind", *DIMENSIONS, "bot")]
        for *at, place, row, kind, campaign, affiliate, offer, channel, country, device, bot in zip(
            *(values.tolist() for values in keys), places.tolist(), rows.tolist(), *details, strict=True
        ):
            dimensions = [texts[code] for code in (campaign, affiliate, offer, channel, country, device)]
            found.setdefault((*at, TOUCH_KINDS[kind], *dimensions, bot), (place, row))
        kept = np.array([found[key] for key in sorted(found)], dtype=np.int64)
        return np.ascontiguousarray(kept[:, 0]), np.ascontiguousarray(kept[:, 1])

    def expire(self, floor: int) -> None:
        """Forget touches with a record time (ms) below ``floor``, but none that came since the last call: the journal may not have them yet."""
        keep = self._columns["record_time"][: self.rows] >= floor
        keep[self._settled :] = True
        if not keep.all():
            rows = np.flatnonzero(keep)
            self.rows = len(rows)
            self._columns = {
                name: compacted(column, rows, _SMALLEST) for name, column in self._columns.items()
            }
            for chains, name in self._chains():
                chains.replace(self._columns[name][: self.rows])
        self._settled = self.rows

    @property
    def arrays(self) -> list[npt.NDArray[Any]]:
        """What their columns are held in, for now."""
        return list(self._columns.values())

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
