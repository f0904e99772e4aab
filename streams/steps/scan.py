"""One look at every encoded record: is it plainly well-formed, and what is the hash of its content.

Plainly well-formed means: every field of the schema is there, varints have the shortest form and fit their type, lengths stay within the
record, branches of unions exist, booleans are 0 or 1, strings are UTF-8. Bytes after the last field are ignored, as Avro does.
What is not plainly well-formed is left to the reference decoder, which accepts a little more (see ``decode``).
"""

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

LONG, INT, BOOLEAN, STRING = 0, 1, 2, 3
NEVER_NULL = 2
"""In place of a union's null branch (0 or 1): the field is no union."""

_SEED = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
_HIGH_BITS = np.uint64(0x8080808080808080)
_MALFORMED = np.int64(-1)


@numba.njit(cache=True, nogil=True)
def _varint_end(data: U8, at: int, end: int, bits: int) -> int:
    """Return where the varint at ``at`` ends, or -1 if it is cut off, not in its shortest form, or wider than ``bits``."""
    longest = (bits + 6) // 7
    for place in range(at, min(end, at + longest)):
        byte = data[place]
        if byte < 0x80:
            if byte == 0 and place > at:
                return -1
            if place - at == longest - 1 and byte >= 1 << (bits - 7 * (longest - 1)):
                return -1
            return place + 1
    return -1


@numba.njit(cache=True, nogil=True)
def _length(data: U8, at: int, after: int) -> Any:
    """Return the non-negative number that the varint in [at, after) stands for, -1 if it is negative."""
    if data[at] & 1:
        return -1
    number = np.uint64(0)
    for place in range(after - 1, at - 1, -1):
        number = (number << np.uint64(7)) | np.uint64(data[place] & 0x7F)
    return np.int64(number >> np.uint64(1))


@numba.njit(cache=True, nogil=True)
def _continuations(data: U8, at: int, count: int) -> bool:
    for place in range(at, at + count):
        if data[place] & 0xC0 != 0x80:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _is_character(data: U8, at: int, width: int) -> bool:
    """Return whether the ``width`` bytes at ``at`` (2 to 4, by the first one) encode one code point in the shortest form."""
    first, second = data[at], data[at + 1]
    if first == 0xE0 and second < 0xA0:
        return False
    if first == 0xED and second >= 0xA0:
        return False
    if first == 0xF0 and second < 0x90:
        return False
    if first == 0xF4 and second >= 0x90:
        return False
    return _continuations(data, at + 1, width - 1)


@numba.njit(cache=True, nogil=True)
def is_utf8(words: U64, data: U8, at: int, end: int) -> bool:
    """Return whether data[at:end] is UTF-8. ``words``: `words_of` the data."""
    while at < end:
        if at + 8 <= end and words[at] & _HIGH_BITS == 0:
            at += 8
            continue
        first = data[at]
        if first < 0x80:
            at += 1
            continue
        if first < 0xC2 or first > 0xF4:
            return False
        width = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        if at + width > end or not _is_character(data, at, width):
            return False
        at += width
    return True


@numba.njit(cache=True, nogil=True)
def _field_end(words: U64, data: U8, at: int, end: int, kind: int, null_branch: int) -> int:
    """Return where the field at ``at`` ends, -1 if it is not plainly well-formed."""
    if null_branch != NEVER_NULL:
        if at >= end or (data[at] != 0 and data[at] != 2):
            return -1
        branch = data[at] >> 1
        at += 1
        if branch == null_branch:
            return at
    if kind == BOOLEAN:
        return at + 1 if at < end and data[at] <= 1 else -1
    after = _varint_end(data, at, end, 32 if kind == INT else 64)
    if after < 0 or kind != STRING:
        return after
    length = _length(data, at, after)
    if length < 0 or length > end - after or not is_utf8(words, data, after, after + length):
        return -1
    return after + length


@numba.njit(cache=True, nogil=True)
def hash_bytes(words: U64, data: U8, at: int, end: int) -> np.uint64:
    """Return the 64-bit hash of data[at:end].

    The state takes in 8 bytes at a time (xor, multiply by an odd number, fold the upper half down): each step is a bijection of the state,
    so two texts of equal length that differ in one word always differ in hash. MurmurHash3's finaliser (public domain, Austin
    Appleby) spreads the last word. Stored in the journal: it must never change.
    """
    h = _SEED ^ np.uint64(end - at)
    while at + 8 <= end:
        h = (h ^ words[at]) * _STEP
        h ^= h >> np.uint64(32)
        at += 8
    tail = np.uint64(0)
    shift = np.uint64(0)
    while at < end:
        tail |= np.uint64(data[at]) << shift
        shift += np.uint64(8)
        at += 1
    h = (h ^ tail) * _STEP
    h ^= h >> np.uint64(33)
    h *= _M1
    h ^= h >> np.uint64(33)
    h *= _M2
    return h ^ (h >> np.uint64(33))


@numba.njit(cache=True, nogil=True, inline="always")
def _ascii_end(words: U64, data: U8, at: int, end: int) -> Any:
    """Return where the string field at ``at`` ends if it is ASCII of less than 8,192 bytes, else -1: nearly all strings are."""
    if at + 2 > end or data[at] & 1:
        return -1
    length, after = np.int64(data[at] >> 1), at + 1
    if data[at] >= 0x80:
        if data[at + 1] >= 0x80 or data[at + 1] == 0:
            return -1
        length, after = length - 64 + (np.int64(data[at + 1]) << 6), at + 2
    stop = after + length
    if stop > end:
        return -1
    seen = np.uint64(0)
    while after + 8 <= stop:
        seen |= words[after]
        after += 8
    while after < stop:
        seen |= np.uint64(data[after])
        after += 1
    return stop if seen & _HIGH_BITS == 0 else -1


@numba.njit(cache=True, nogil=True)
def scan(
    words: U64,
    data: U8,
    starts: I64,
    ends: I64,
    kinds: U8,
    nulls: U8,
    leading: int,
    plain: npt.NDArray[np.bool_],
    content: U64,
) -> None:
    """Look at the records data[starts[i]:ends[i]] of one schema.

    ``kinds`` and ``nulls`` give each field's type and null branch. ``plain[i]`` becomes whether record i is plainly well-formed, ``content[i]``
    the hash of its fields from number ``leading`` on.
    """
    for row in range(len(starts)):
        at, end = starts[row], ends[row]
        content_at = at
        for field in range(len(kinds)):
            if field == leading:
                content_at = at
            # The first is inlined; a call costs a count of references for each array.
            stop = (
                _ascii_end(words, data, at, end)
                if kinds[field] == STRING and nulls[field] == NEVER_NULL
                else -1
            )
            at = stop if stop >= 0 else _field_end(words, data, at, end, kinds[field], nulls[field])
            if at < 0:
                break
        plain[row] = at >= 0
        content[row] = hash_bytes(words, data, content_at, at) if at >= 0 else np.uint64(0)
