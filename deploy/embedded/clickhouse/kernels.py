"""Compiled scans over native blocks: what Python is too slow for."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]


@njit(cache=True, nogil=True)
def skip_strings(data: Bytes, position: int, end: int, rows: int) -> tuple[int, int, int]:
    """Step over `rows` strings (varint length, bytes) in data[position:end].

    Returns (position, rows left, bytes missing): stopped before the first string that is not wholly there,
    with the number of bytes that are missing at least. Bytes missing is -1 if a length is malformed.
    """
    while rows > 0:
        cursor = position
        length = 0
        shift = 0
        while True:
            if cursor >= end:
                return position, rows, 1
            byte = int(data[cursor])
            cursor += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 49:
                return position, rows, -1
        if length > end - cursor:
            return position, rows, length - (end - cursor)
        position = cursor + length
        rows -= 1
    return position, 0, 0


def warm() -> None:
    """Compile (or load from the cache) for writable and read-only buffers, so that no client waits for it."""
    data = np.zeros(1, np.uint8)
    skip_strings(data, 0, 1, 1)
    data.flags.writeable = False
    skip_strings(data, 0, 1, 1)
