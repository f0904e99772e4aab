"""Routes of ids, and the partitions they belong in (docs/rules.md, section 1)."""

from collections.abc import Iterator, Sequence

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.ids import RANDOM_LENGTH, ROUTE_LENGTH, hashed_route, transaction_route
from streams.steps.columns import Bytes, string_array, string_bytes

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

_MINTED_LENGTH = ROUTE_LENGTH + RANDOM_LENGTH
_SEED = np.uint32(0x9747B28C)
_M = np.uint32(0x5BD1E995)
_POSITIVE = np.uint32(0x7FFFFFFF)


@numba.njit(cache=True, nogil=True)
def _minted_routes(offsets: I64, data: U8, out: U8, foreign: npt.NDArray[np.bool_]) -> None:
    """Write the first 4 characters of each minted id (30 of a-z2-7) to ``out``; mark the others."""
    for row in range(len(foreign)):
        start = offsets[row]
        minted = offsets[row + 1] - start == _MINTED_LENGTH
        place = 0
        while minted and place < _MINTED_LENGTH:
            byte = data[start + place]
            minted = 97 <= byte <= 122 or 50 <= byte <= 55
            place += 1
        foreign[row] = not minted
        if minted:
            for place in range(ROUTE_LENGTH):
                out[ROUTE_LENGTH * row + place] = data[start + place]


@numba.njit(cache=True, nogil=True)
def _murmur2(offsets: I64, data: U8, partitions: int, out: npt.NDArray[np.int32]) -> None:
    """Kafka's partition of each key: the 32-bit murmur2 (public domain, Austin Appleby), made positive, modulo ``partitions``."""
    for row in range(len(out)):
        at, end = offsets[row], offsets[row + 1]
        h = _SEED ^ np.uint32(end - at)
        while at < end:
            k = np.uint32(0)
            width = min(4, end - at)
            for place in range(width):
                k |= np.uint32(data[at + place]) << np.uint32(8 * place)
            if width == 4:
                k = np.uint32(k * _M)
                k = np.uint32((k ^ (k >> np.uint32(24))) * _M)
                h = np.uint32(h * _M) ^ k
            else:
                h = np.uint32((h ^ k) * _M)
            at += width
        h = np.uint32((h ^ (h >> np.uint32(13))) * _M)
        h ^= h >> np.uint32(15)
        out[row] = np.int64(h & _POSITIVE) % partitions


def routes(ids: pl.Series) -> pl.Series:
    """Return the 4-character route of each visitor, click or lead id."""
    offsets, data = string_bytes(ids)
    characters = np.zeros(ROUTE_LENGTH * len(ids), dtype=np.uint8)
    foreign = np.zeros(len(ids), dtype=np.bool_)
    _minted_routes(offsets, data, characters, foreign)
    if foreign.any():
        strangers = ids.filter(pl.Series(foreign))
        # A loop over distinct values: SHA-256 takes one text at a time.
        route_of = {text: hashed_route(text) for text in strangers.unique().to_list()}
        hashed = "".join([route_of[text] for text in strangers.to_list()])
        characters.reshape(-1, ROUTE_LENGTH)[foreign] = _characters(hashed).reshape(-1, ROUTE_LENGTH)
    return _fixed(characters)


def transaction_routes(partner: pl.Series, transaction_id: pl.Series) -> pl.Series:
    """Return the 4-character route of each transaction."""
    # A loop over rows: SHA-256 takes one text at a time, and hardly two conversions have the same.
    hashed: Sequence[str] = list(map(transaction_route, partner.to_list(), transaction_id.to_list()))
    return _fixed(_characters("".join(hashed)))


def partitions(keys: pl.Series, count: int) -> npt.NDArray[np.int32]:
    """Return the partition that each key (a string, hashed as UTF-8) belongs in, in a topic of ``count`` partitions. int32[n]."""
    offsets, data = string_bytes(keys)
    out = np.empty(len(keys), dtype=np.int32)
    _murmur2(offsets, data, count, out)
    return out


def _characters(text: str) -> U8:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _fixed(characters: U8) -> pl.Series:
    """Return ASCII of 4 characters per row as a string column."""
    offsets = np.arange(0, len(characters) + 1, ROUTE_LENGTH, dtype=np.int64)
    return pl.Series("route", string_array(Bytes(offsets, characters)))


def rows_by_partition(frame: pl.DataFrame) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield each partition number of a frame with its rows."""
    numbers = frame["_partition"].to_numpy()
    for number in np.unique(numbers).tolist():
        yield number, np.flatnonzero(numbers == number)
