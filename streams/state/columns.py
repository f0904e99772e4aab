"""Columns in memory that grow, and that forget rows."""

from typing import Any

import numpy as np
import numpy.typing as npt


def grown(column: npt.NDArray[Any], least: int) -> npt.NDArray[Any]:
    """Return ``column`` with room for ``least`` rows, and for twice what it had: what is new is anything."""
    larger = np.empty(max(least, 2 * len(column)), dtype=column.dtype)
    larger[: len(column)] = column
    return larger


def compacted(column: npt.NDArray[Any], rows: npt.NDArray[np.int64], least: int) -> npt.NDArray[Any]:
    """Return a column that begins with ``rows`` of ``column``: the same one, unless less than a quarter of it is needed any more.

    Made anew each time it would grow by twos again, to another size than it had: memory that goes up and down, in other places each time.
    ``least``: rows of the smallest.
    """
    left = column[rows]
    if 4 * len(left) < len(column) and len(column) > least:
        column = np.empty(max(least, 2 * len(left)), dtype=column.dtype)
    column[: len(left)] = left
    return column
