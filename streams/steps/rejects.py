"""Rejects as frames: records that break a rule, with the reason and the bytes they came as."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.steps.batch import RawBatch

REFUSED_REASON = "refused"
REASON_SCHEMA = {"reason": pl.String, "detail": pl.String, "event_id": pl.String}


def place_columns(batch: RawBatch, rows: npt.NDArray[np.int64] | None = None) -> list[pl.Series]:
    """Return _partition, _offset, _record_time (ms) and _row of the ``rows`` of ``batch``, of all if None."""
    chosen = slice(None) if rows is None else rows
    numbers = np.arange(len(batch), dtype=np.uint32) if rows is None else rows.astype(np.uint32)
    return [
        pl.Series("_partition", batch.partition[chosen], dtype=pl.Int32),
        pl.Series("_offset", batch.offset[chosen], dtype=pl.Int64),
        pl.Series("_record_time", batch.record_time[chosen], dtype=pl.Int64),
        pl.Series("_row", numbers, dtype=pl.UInt32),
    ]


def unread(
    batch: RawBatch, rows: npt.NDArray[np.int64], reasons: Sequence[str], details: Sequence[str]
) -> pl.DataFrame:
    """Return the rejects of records that could not be read, with their bytes; ``event_id`` is null."""
    frame = pl.DataFrame(place_columns(batch, rows)).with_columns(
        pl.Series("reason", reasons, dtype=pl.String),
        pl.Series("detail", details, dtype=pl.String),
        pl.lit(None, dtype=pl.String).alias("event_id"),
    )
    return attach_raw(batch, frame)


def attach_raw(batch: RawBatch, rejects: pl.DataFrame) -> pl.DataFrame:
    """Add ``raw`` and ``raw_key``, the value and key each reject came with; b"" for null. ``_row`` says which record it was."""
    # A loop over rows: rejects are few, and their bytes are Python objects already.
    rows = rejects["_row"].to_list()
    return rejects.with_columns(
        pl.Series("raw", [batch.value[row] or b"" for row in rows], dtype=pl.Binary),
        pl.Series("raw_key", [batch.key[row] or b"" for row in rows], dtype=pl.Binary),
    )
