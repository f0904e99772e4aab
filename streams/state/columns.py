"""Columns in memory that grow."""

from typing import Any

import numpy as np
import numpy.typing as npt


def grown(column: npt.NDArray[Any], least: int) -> npt.NDArray[Any]:
    """Return ``column`` with room for ``least`` rows, and for twice what it had: what is new is anything."""
    larger = np.empty(max(least, 2 * len(column)), dtype=column.dtype)
    larger[: len(column)] = column
    return larger
