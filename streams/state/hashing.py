"""64-bit hashes of strings and ids, for tables in memory.

Those of strings are XXH64, which ClickHouse has too: what is restored comes as hashes already (`sinks.clickhouse.history`).
"""

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from streams.steps.columns import string_bytes

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_ONE, _FOUR, _EIGHT, _STRIPE = np.uint64(1), np.uint64(4), np.uint64(8), np.uint64(32)


@numba.njit(cache=True, nogil=True, inline="always")
def _turned(h: np.uint64, bits: int) -> np.uint64:
    return (h << np.uint64(bits)) | (h >> np.uint64(64 - bits))


@numba.njit(cache=True, nogil=True, inline="always")
def _mixed(h: np.uint64, word: np.uint64) -> np.uint64:
    return _turned(h + word * _P2, 31) * _P1


@numba.njit(cache=True, nogil=True, inline="always")
def _half_word(data: U8, at: np.uint64) -> np.uint64:
    """Four bytes, the lowest first. Written out, it is one load."""
    return (
        np.uint64(data[at])
        | np.uint64(data[at + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[at + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[at + np.uint64(3)]) << np.uint64(24)
    )


@numba.njit(cache=True, nogil=True, inline="always")
def _word(data: U8, at: np.uint64) -> np.uint64:
    return _half_word(data, at) | _half_word(data, at + _FOUR) << np.uint64(32)


@numba.njit(cache=True, nogil=True)
def _xxh64(data: U8, at: np.uint64, end: np.uint64) -> np.uint64:
    """XXH64 with seed 0 of ``data[at:end]`` (Yann Collet, xxHash fast digest algorithm, specification 0.1.1)."""
    length = end - at
    if length >= _STRIPE:
        one, two, three, four = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
        while at + _STRIPE <= end:
            one = _mixed(one, _word(data, at))
            two = _mixed(two, _word(data, at + np.uint64(8)))
            three = _mixed(three, _word(data, at + np.uint64(16)))
            four = _mixed(four, _word(data, at + np.uint64(24)))
            at += _STRIPE
        h = _turned(one, 1) + _turned(two, 7) + _turned(three, 12) + _turned(four, 18)
        for lane in (one, two, three, four):
            h = (h ^ _mixed(np.uint64(0), lane)) * _P1 + _P4
    else:
        h = _P5
    h += length
    while at + _EIGHT <= end:
        h = _turned(h ^ _mixed(np.uint64(0), _word(data, at)), 27) * _P1 + _P4
        at += _EIGHT
    if at + _FOUR <= end:
        h = _turned(h ^ (_half_word(data, at) * _P1), 23) * _P2 + _P3
        at += _FOUR
    while at < end:
        h = _turned(h ^ (np.uint64(data[at]) * _P5), 11) * _P1
        at += _ONE
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return h ^ (h >> np.uint64(32))


@numba.njit(cache=True, nogil=True)
def _hash_strings(offsets: npt.NDArray[np.int64], data: U8, out: U64) -> None:
    for row in range(len(out)):
        start, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        out[row] = max(_xxh64(data, start, end), _ONE) if end > start else np.uint64(0)


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
def _combine(high: U64, low: U64, out: U64) -> None:
    for row in range(len(out)):
        h = finalised(finalised(high[row] ^ _SEED) ^ low[row])
        out[row] = h if h != 0 else np.uint64(1)


def string_hashes(column: pl.Series) -> U64:
    """Return a hash per string: 0 for the empty one, never 0 for another. Nulls count as empty. Numbers are hashes already."""
    if column.dtype == pl.UInt64:
        return column.to_numpy()
    offsets, data = string_bytes(column.fill_null(""))
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
