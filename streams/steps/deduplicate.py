"""Deduplication of touches: what an id's verdict makes of a row (docs/rules.md, section 4)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

CONFLICT_REASON = "conflict"


class Deduplicated(NamedTuple):
    """Rows accepted, rows that are conflicts, and how many duplicates each partition number had."""

    accepted: pl.DataFrame
    conflicts: pl.DataFrame
    duplicates: dict[int, int]


def split(frame: pl.DataFrame, verdict: npt.NDArray[np.int8]) -> Deduplicated:
    """Split ``frame`` by one verdict per row: 0 new, 1 duplicate, 2 conflict."""
    if not verdict.any():
        return Deduplicated(frame, frame.clear(), {})
    duplicated = frame["_partition"].filter(pl.Series(verdict == 1))
    return Deduplicated(
        frame.filter(pl.Series(verdict == 0)),
        frame.filter(pl.Series(verdict == 2)),
        counted(duplicated),
    )


def counted(partitions: pl.Series) -> dict[int, int]:
    """Return how often each partition number occurs."""
    numbers, counts = np.unique(partitions.to_numpy(), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))
