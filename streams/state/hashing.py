"""64-bit hashes of strings and ids, for tables in memory."""

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from streams.steps.columns import string_bytes

U64 = npt.NDArray[np.uint64]

_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
_SEED = np.uint64(0x9E3779B97F4A7C15)


@numba.njit(cache=True, nogil=True, inline="always")
def finalised(h: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finaliser (public domain, Austin Appleby): every input bit moves every output bit."""
    h ^= h >> np.uint64(33)
    h *= _M1
    h ^= h >> np.uint64(33)
    h *= _M2
    h ^= h >> np.uint64(33)
    return h


@numba.njit(cache=True, nogil=True)
def _hash_strings(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8], out: U64) -> None:
    for row in range(len(out)):
        start, end = offsets[row], offsets[row + 1]
        h = _SEED ^ np.uint64(end - start)
        word = np.uint64(0)
        filled = 0
        for place in range(start, end):
            word |= np.uint64(data[place]) << np.uint64(8 * filled)
            filled += 1
            if filled == 8:
                h = finalised(h ^ word)
                word = np.uint64(0)
                filled = 0
        h = finalised(h ^ word ^ _M1)
        out[row] = h if h != 0 and end > start else np.uint64(end > start)


@numba.njit(cache=True, nogil=True)
def _combine(high: U64, low: U64, out: U64) -> None:
    for row in range(len(out)):
        h = finalised(finalised(high[row] ^ _SEED) ^ low[row])
        out[row] = h if h != 0 else np.uint64(1)


def string_hashes(column: pl.Series) -> U64:
    """Return a hash per string: 0 for the empty one, never 0 for another. Nulls count as empty. Numbers are hashes already."""
    if column.dtype == pl.UInt64:
        return column.to_numpy()
    return text_hashes(*string_bytes(column.fill_null("")))


def text_hashes(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> U64:
    """Return what `string_hashes` does, of texts given as offsets (one more than texts) and their bytes."""
    out = np.empty(len(offsets) - 1, dtype=np.uint64)
    _hash_strings(offsets, data, out)
    return out


def hash_of(text: str) -> int:
    """Return the hash of one text, 0 for the empty one. A column for it would take a hundred times as long."""
    data = np.frombuffer(text.encode(), dtype=np.uint8)
    out = np.empty(1, dtype=np.uint64)
    _hash_strings(np.array([0, len(data)], dtype=np.int64), data, out)
    return int(out[0])


def id_hashes(high: U64, low: U64) -> U64:
    """Return a hash, never 0, per 128-bit id given as two halves."""
    out = np.empty(len(high), dtype=np.uint64)
    _combine(high, low, out)
    return out
