"""Compiled loops over the buffers of Arrow string views: strings as ClickHouse's native format has them. None holds the GIL.

A view is two 64-bit words: length (32 bits) and the first 4 bytes; then the other 8 bytes if there are at most 12, else the number of
a data buffer and the offset in it (32 bits each). ``buffers`` holds the addresses of the data buffers. ``valid`` is Arrow's validity
bitmap from bit ``first`` on, empty if there are no nulls; a null is an empty string.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from sinks.clickhouse.memory import copy_bytes, load_word, store_word

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_LATELY_BITS = 9
SHORT = 12
SLACK = 16
"""Bytes by which writing may run over the end of what is written."""

_U4 = np.uint64(4)
_U8 = np.uint64(8)
_U32 = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_STIR = np.uint64(0xC2B2AE3D27D4EB4F)


@njit(cache=True, nogil=True, inline="always")
def _is_null(valid: Bytes, bit: int) -> bool:
    return valid.size > 0 and not (valid[bit >> 3] >> (bit & 7)) & 1


@njit(cache=True, nogil=True, inline="always")
def _data(high: Any, buffers: Words) -> Any:
    return buffers[high & _LOW] + (high >> _U32)


@njit(cache=True, nogil=True)
def packed_size(views: Words, valid: Bytes, first: int) -> Any:
    """Return the bytes that `pack_views` will write, `SLACK` not counted."""
    size = views.shape[0]
    for row in range(views.shape[0]):
        if _is_null(valid, first + row):
            continue
        length = views[row, 0] & _LOW
        size += length
        while length >= 128:
            size += 1
            length >>= np.uint64(7)
    return size


@njit(cache=True, nogil=True)
def pack_views(views: Words, buffers: Words, valid: Bytes, first: int, out: Bytes) -> Any:
    """Write each string as varint length and bytes into ``out``; return the bytes written."""
    start = np.uint64(out.ctypes.data)
    position: Any = 0
    for row in range(views.shape[0]):
        if _is_null(valid, first + row):
            out[position] = 0
            position += 1
            continue
        low, high = views[row, 0], views[row, 1]
        length = low & _LOW
        rest = length
        while rest >= 128:
            out[position] = (rest & np.uint64(127)) | np.uint64(128)
            position += 1
            rest >>= np.uint64(7)
        out[position] = rest
        position += 1
        if length <= SHORT:
            # The length stands above the first 4 bytes: shifted out, and overwritten by what follows.
            store_word(start + np.uint64(position), low >> _U32)
            store_word(start + np.uint64(position) + _U4, high)
        else:
            copy_bytes(start + np.uint64(position), _data(high, buffers), length)
        position += np.int64(length)
    return position


@njit(cache=True, nogil=True)
def pack_fixed(views: Words, buffers: Words, valid: Bytes, first: int, width: int, out: Bytes) -> int:
    """Write each string into its ``width`` bytes of ``out`` (all zero before); return the first row that is too long, -1 if none is."""
    start = np.uint64(out.ctypes.data)
    for row in range(views.shape[0]):
        if _is_null(valid, first + row):
            continue
        low, high = views[row, 0], views[row, 1]
        length = np.int64(low & _LOW)
        if length > width:
            return row
        place = row * width
        if length <= SHORT:
            for byte in range(length):
                word = low >> np.uint64(32 + 8 * byte) if byte < 4 else high >> np.uint64(8 * (byte - 4))
                out[place + byte] = word & np.uint64(255)
        else:
            copy_bytes(start + np.uint64(place), _data(high, buffers), np.uint64(length))
    return -1


@njit(cache=True, nogil=True, inline="always")
def _hash(low: Any, high: Any, buffers: Words) -> Any:
    length = low & _LOW
    mixed = low * _MIX
    if length <= SHORT:
        mixed ^= high * _STIR
    else:
        # Whole words from the front, then the last 8 bytes, which may overlap them.
        data = _data(high, buffers)
        end = data + length - _U8
        while data < end:
            mixed = (mixed ^ load_word(data)) * _STIR
            mixed ^= mixed >> _U32
            data += _U8
        mixed = (mixed ^ load_word(end)) * _STIR
    mixed ^= mixed >> _U32
    mixed *= _MIX
    return mixed ^ (mixed >> _U32)


@njit(cache=True, nogil=True, inline="always")
def _equal(low: Any, high: Any, other_low: Any, other_high: Any, buffers: Words) -> bool:
    if low != other_low:
        return False
    if high == other_high:
        return True
    length = low & _LOW
    if length <= SHORT:
        return False
    one, other = _data(high, buffers), _data(other_high, buffers)
    last = length - _U8
    place = np.uint64(0)
    while place < last:
        if load_word(one + place) != load_word(other + place):
            return False
        place += _U8
    return bool(load_word(one + last) == load_word(other + last))


@njit(cache=True, nogil=True)
def _table(size: int, keys: Words, distinct: int, buffers: Words) -> Any:
    """Return a table of ``size`` slots (a power of 2) in which each key has the first free slot from its hash on; 0 is a free slot."""
    mask = np.uint64(size - 1)
    table = np.zeros(size, dtype=np.uint32)
    for code in range(1, distinct):
        slot = _hash(keys[code, 0], keys[code, 1], buffers) & mask
        while table[slot]:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = code
    return table


@njit(cache=True, nogil=True)
def encode_views(views: Words, buffers: Words, valid: Bytes, first: int, codes: Any, keys: Words) -> int:
    """Give equal strings equal codes; return the number of codes.

    ``codes`` gets one per row; ``keys`` (one row more than ``views``) the view of each code. Code 0 is the empty string.
    """
    # Views seen lately, each in its one place: most rows are answered here, without a look at their bytes.
    lately = np.zeros((1 << _LATELY_BITS, 2), dtype=np.uint64)
    their_codes = np.zeros(1 << _LATELY_BITS, dtype=np.uint32)
    keys[0, 0] = 0
    keys[0, 1] = 0
    distinct, size = 1, 1024
    table = _table(size, keys, distinct, buffers)
    for row in range(views.shape[0]):
        low, high = views[row, 0], views[row, 1]
        if _is_null(valid, first + row) or low & _LOW == 0:
            codes[row] = 0
            continue
        place = ((low ^ (high * _STIR)) * _MIX) >> np.uint64(64 - _LATELY_BITS)
        if lately[place, 0] == low and lately[place, 1] == high:
            codes[row] = their_codes[place]
            continue
        slot = _hash(low, high, buffers) & np.uint64(size - 1)
        while table[slot] and not _equal(low, high, keys[table[slot], 0], keys[table[slot], 1], buffers):
            slot = (slot + np.uint64(1)) & np.uint64(size - 1)
        if table[slot] == 0:
            table[slot] = distinct
            keys[distinct, 0] = low
            keys[distinct, 1] = high
            distinct += 1
        code = table[slot]
        codes[row] = code
        lately[place, 0] = low
        lately[place, 1] = high
        their_codes[place] = code
        if distinct * 2 > size:
            size *= 4
            table = _table(size, keys, distinct, buffers)
    return distinct
