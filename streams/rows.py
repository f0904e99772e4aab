"""Building the journal's rows from what the steps leave."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl

from streams.state.requests import Request
from streams.steps.count import TransactionState

LOW = 0xFFFF_FFFF_FFFF_FFFF
META = {"_source": pl.String, "_offset": pl.Int64, "_record_time": pl.Int64}
_COUNT = {
    "kind": pl.String,
    **META,
    "sign": pl.Int8,
    "partner": pl.String,
    "transaction_id": pl.String,
    "route": pl.String,
    "event_hi": pl.UInt64,
    "event_lo": pl.UInt64,
}
STATE = {
    "revision": pl.Int64,
    "status": pl.String,
    "occurred_at": pl.Int64,
    "value": pl.Int64,
    "payout": pl.Int64,
    "currency": pl.String,
    "click_id": pl.String,
    "lead_id": pl.String,
    "visitor_id": pl.String,
    "goal": pl.String,
    "campaign": pl.String,
    "affiliate": pl.String,
    "offer": pl.String,
    "channel": pl.String,
    "country": pl.String,
    "device": pl.String,
    "bot": pl.UInt8,
    "approved_at": pl.Int64,
    "flag": pl.String,
}


def halves(event_id: int) -> tuple[int, int]:
    """Return a 128-bit id as its two 64-bit halves, the more significant first."""
    return event_id >> 64, event_id & LOW


def columnar(
    rows: Sequence[tuple[Any, ...]], schema: Mapping[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame:
    """Return tuples as a frame of ``schema``, column by column: half the time of row by row."""
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pl.DataFrame(
        [
            pl.Series(name, column, dtype=dtype)
            for (name, dtype), column in zip(schema.items(), columns, strict=True)
        ]
    )


class Trigger(tuple[str, int, int]):
    """Source, offset and record time of the record that caused a row."""


def count_row(
    trigger: Trigger, sign: int, key: tuple[str, str], route: str, event_id: int, state: TransactionState
) -> tuple[Any, ...]:
    """Return one signed row of kind ``count``."""
    return ("count", *trigger, sign, *key, route, *halves(event_id), *state)


def count_frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    """Return `count_row`\\ s as a frame."""
    return columnar(rows, {**_COUNT, **STATE})


def credit_frame(
    credits: pl.DataFrame,
    signed: pl.DataFrame,
    triggered: Sequence[tuple[tuple[str, str, str, str], Trigger]],
    requests: Sequence[Request],
) -> pl.DataFrame:
    """Return signed rows of kind ``credit``: of ``credits``, each with the sign in ``signed``, and what its ``place`` there has in ``triggered``
    (partner, transaction id, route and person, then the trigger) and ``requests``."""
    rows = [
        ("credit", *trigger, *key[:3], *halves(request.request_id), request.revision, key[3])
        for (key, trigger), request in zip(triggered, requests, strict=True)
    ]
    schema = {name: kind for name, kind in _COUNT.items() if name != "sign"}
    causes = columnar(rows, {**schema, "revision": pl.Int64, "person": pl.String})
    return pl.concat(
        (causes[signed["place"]], signed.select(pl.col("sign").cast(pl.Int8)), credits), how="horizontal"
    )


def flush_frame(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Return flush rows (source, first and last offset, counts) as a frame."""
    counts = dict.fromkeys(("received", "journaled", "duplicates", "rejects"), pl.UInt32)
    return pl.DataFrame(
        list(rows),
        schema={"kind": pl.String, **META, "first_offset": pl.Int64, "occurred_at": pl.Int64, **counts},
        orient="row",
    )
