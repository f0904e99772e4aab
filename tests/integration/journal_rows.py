"""Rows for the journal, made by hand: small flushes whose totals a test can compute."""

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.ids import mint, route_of, transaction_route

NOW = 1_760_000_000_000
TOKEN = 4711
TYPES: dict[str, Any] = {
    "kind": pl.String,
    "_source": pl.String,
    "_offset": pl.Int64,
    "_record_time": pl.Int64,
    "_ingested_at": pl.Int64,
    "_owner": pl.UInt64,
    "event_hi": pl.UInt64,
    "event_lo": pl.UInt64,
    "content": pl.UInt64,
    "touch_hi": pl.UInt64,
    "touch_lo": pl.UInt64,
    **dict.fromkeys(
        ("occurred_at", "status_at", "approved_at", "touch_at", "value", "payout", "weight", "first_offset"),
        pl.Int64,
    ),
    **dict.fromkeys(("revision", "received", "journaled", "duplicates", "rejects"), pl.UInt32),
    **dict.fromkeys(("bot", "moved"), pl.UInt8),
    "sign": pl.Int8,
}
DIMENSIONS = ("campaign", "affiliate", "offer", "channel", "country", "device")


def frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows as a frame with the journal's types; what a row lacks is null."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pl.DataFrame(list(rows), schema={name: TYPES.get(name, pl.String) for name in names})


def source(topic: str = "clicks", number: int = 0, cluster: str = "c1") -> str:
    return f"{cluster}/{topic}/{number}"


@dataclass
class Flushes:
    """Makes flushes: offsets follow one another per source, and every row is remembered."""

    seed: int = 0
    token: int = TOKEN
    rows: list[dict[str, Any]] = field(default_factory=list)
    offsets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def flush(
        self, records: Sequence[Mapping[str, Any]], ingested: int = NOW, duplicates: int = 0
    ) -> pl.DataFrame:
        """Return a flush of ``records`` (each names its ``_source``) with its flush rows; offsets are given here."""
        made: list[dict[str, Any]] = []
        covered: dict[str, list[int]] = {}
        for record in records:
            place = record["_source"]
            offset = self.offsets.get(place, -1) + 1
            if record["kind"] in ("count", "credit"):
                offset -= 1  # Caused by the record before.
            else:
                self.offsets[place] = offset
                covered.setdefault(place, []).append(offset)
            made.append({"_record_time": NOW + offset, **record, "_offset": offset})
        for place, offsets in covered.items():
            self.offsets[place] += duplicates
            made.append(self._flush_row(place, offsets[0], len(offsets), duplicates))
        for row in made:
            row.update(_ingested_at=ingested, _owner=self.token)
        self.rows += made
        return frame(made)

    def _flush_row(self, place: str, first: int, journaled: int, duplicates: int) -> dict[str, Any]:
        return {
            "kind": "flush",
            "_source": place,
            "_offset": self.offsets[place],
            "_record_time": NOW,
            "first_offset": first,
            "received": journaled + duplicates,
            "journaled": journaled,
            "duplicates": duplicates,
            "rejects": 0,
        }

    def touch(
        self, kind: str = "click", number: int = 0, visitor: str | None = None, **values: Any
    ) -> dict[str, Any]:
        """Return an impression, click or lead of a random visitor and random dimensions."""
        visitor = visitor or mint()
        event = uuid.UUID(int=self.random.getrandbits(128))
        ids = {
            "click": {"click_id": mint(visitor[:4])},
            "lead": {"lead_id": mint(visitor[:4]), "value": 1, "currency": "EUR"},
        }
        return {
            "kind": kind,
            "_source": source(f"{kind}s", number),
            "route": route_of(visitor),
            "event_hi": event.int >> 64,
            "event_lo": event.int & (1 << 64) - 1,
            "content": self.random.getrandbits(64),
            "occurred_at": NOW - self.random.randrange(600_000),
            "visitor_id": visitor,
            **ids.get(kind, {}),
            **{name: f"{name}{self.random.randrange(3)}" for name in DIMENSIONS},
            "bot": self.random.randrange(2),
            **values,
        }

    def count(self, sign: int, status: str, value: int, number: int = 0, **values: Any) -> dict[str, Any]:
        """Return one signed count row."""
        made = {
            "partner": "p",
            "transaction_id": "t",
            "revision": 1,
            "payout": value // 10,
            "currency": "EUR",
            **values,
        }
        return {
            "kind": "count",
            "_source": source("conversions", number),
            "route": transaction_route(made["partner"], made["transaction_id"]),
            "sign": sign,
            "status": status,
            "value": value,
            "occurred_at": NOW - self.random.randrange(600_000),
            **{name: f"{name}{self.random.randrange(3)}" for name in DIMENSIONS},
            **made,
        }

    def conversion(self, status: str, number: int = 0, **values: Any) -> dict[str, Any]:
        """Return one conversion event."""
        made = {
            **self.count(1, status, 10, number, **values),
            "kind": "conversion",
            "status_at": NOW,
            "content": self.random.getrandbits(64),
        }
        event = uuid.UUID(int=self.random.getrandbits(128))
        dropped = ("sign", "revision")
        return {
            **{name: value for name, value in made.items() if name not in dropped},
            "event_hi": event.int >> 64,
            "event_lo": event.int & (1 << 64) - 1,
        }

    def request(self, route: str, revision: int, number: int = 0, **values: Any) -> dict[str, Any]:
        """Return one credit request on ``route``."""
        row = self.conversion("pending", number, **values)
        return {
            **row,
            "kind": "request",
            "_source": source("credit-requests", number),
            "route": route,
            "revision": revision,
            "moved": 0,
        }

    def credit(
        self, sign: int, model: str, route: str, value: int, number: int = 0, **values: Any
    ) -> dict[str, Any]:
        """Return one signed credit row; its touch follows from the value."""
        row = self.count(sign, "pending", value, number, **values)
        touch = {"touch_hi": 7, "touch_lo": value, "touch_at": NOW, "weight": 10**9, "occurred_at": NOW}
        dimensions = {name: f"{name}1" for name in DIMENSIONS}
        return {
            **row,
            "kind": "credit",
            "_source": source("credit-requests", number),
            "route": route,
            "model": model,
            **touch,
            **dimensions,
        }
