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
Flags = npt.NDArray[np.bool_]

LONG, INT, BOOLEAN, STRING = 0, 1, 2, 3
NEVER_NULL = 2
"""In place of a union's null branch (0 or 1): the field is no union."""

# Indexes are unsigned: that spares a look at their sign for every byte. Mixed with signed numbers they would become floats.
_ONE, _TWO, _SIX, _SEVEN, _EIGHT = (np.uint64(number) for number in (1, 2, 6, 7, 8))
_NONE = np.uint64(0)
"""No place: a record's body never begins at 0, its framing does."""

_SEED = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD6E8FEB86659FD93)
_M1 = np.uint64(0xFF51AFD7ED558CCD)
_M2 = np.uint64(0xC4CEB9FE1A85EC53)
_R32, _R33 = np.uint64(32), np.uint64(33)
_HIGH_BITS = np.uint64(0x8080808080808080)
_LONG_BITS, _INT_BITS = np.uint64(64), np.uint64(32)
_SIXTY_FOUR = np.uint64(64)
_LOW = np.uint64(0x7F)


@numba.njit(cache=True, nogil=True)
def _varint_end(data: U8, at: Any, end: Any, bits: Any) -> Any:
    """Return where the varint at ``at`` ends, 0 if it is cut off, not in its shortest form, or wider than ``bits``."""
    longest = (bits + _SIX) // _SEVEN
    stop = min(end, at + longest)
    place = at
    while place < stop and data[place] >= 0x80:
        place += _ONE
    if place == stop or (data[place] == 0 and place > at):
        return _NONE
    if place - at == longest - _ONE and np.uint64(data[place]) >= _ONE << (bits - _SEVEN * (longest - _ONE)):
        return _NONE
    return place + _ONE


@numba.njit(cache=True, nogil=True)
def _doubled(data: U8, at: Any, after: Any) -> Any:
    """Return the unsigned number in the varint [at, after): twice the length of a string, odd if that is negative."""
    number = np.uint64(0)
    while after > at:
        after -= _ONE
        number = (number << _SEVEN) | (np.uint64(data[after]) & _LOW)
    return number


@numba.njit(cache=True, nogil=True)
def _is_character(data: U8, at: Any, width: Any) -> bool:
    """Return whether the ``width`` bytes at ``at`` (2 to 4, by the first one) encode one code point in the shortest form."""
    first, second = data[at], data[at + _ONE]
    if first == 0xE0 and second < 0xA0:
        return False
    if first == 0xED and second >= 0xA0:
        return False
    if first == 0xF0 and second < 0x90:
        return False
    if first == 0xF4 and second >= 0x90:
        return False
    for place in range(at + _ONE, at + width):
        if data[place] & 0xC0 != 0x80:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def is_utf8(words: U64, data: U8, at: Any, end: Any) -> bool:
    """Return whether data[at:end] is UTF-8. ``words``: `words_of` the data."""
    while at < end:
        if at + _EIGHT <= end and words[at] & _HIGH_BITS == 0:
            at += _EIGHT
            continue
        first = data[at]
        if first < 0x80:
            at += _ONE
            continue
        if first < 0xC2 or first > 0xF4:
            return False
        width = np.uint64(2 if first < 0xE0 else 3 if first < 0xF0 else 4)
        if at + width > end or not _is_character(data, at, width):
            return False
        at += width
    return True


@numba.njit(cache=True, nogil=True)
def _field_end(words: U64, data: U8, at: Any, end: Any, kind: int, null_branch: int) -> Any:
    """Return where the field at ``at`` ends, 0 if it is not plainly well-formed."""
    if null_branch != NEVER_NULL:
        if at >= end or (data[at] != 0 and data[at] != 2):
            return _NONE
        branch = data[at] >> 1
        at += _ONE
        if branch == null_branch:
            return at
    if kind == BOOLEAN:
        return at + _ONE if at < end and data[at] <= 1 else _NONE
    after = _varint_end(data, at, end, _INT_BITS if kind == INT else _LONG_BITS)
    if after == 0 or kind != STRING:
        return after
    doubled = _doubled(data, at, after)
    length = doubled >> _ONE
    if doubled & _ONE or length > end - after or not is_utf8(words, data, after, after + length):
        return _NONE
    return after + length


@numba.njit(cache=True, nogil=True, inline="always")
def _ascii_end(words: U64, data: U8, at: Any, end: Any) -> Any:
    """Return where the string field at ``at`` ends if it is ASCII of less than 8,192 bytes, else 0: nearly all strings are."""
    if at + _TWO > end or data[at] & 1:
        return _NONE
    length, after = np.uint64(data[at] >> 1), at + _ONE
    if data[at] >= 0x80:
        if data[after] >= 0x80 or data[after] == 0:
            return _NONE
        length, after = length - _SIXTY_FOUR + (np.uint64(data[after]) << _SIX), at + _TWO
    stop = after + length
    if stop > end:
        return _NONE
    seen = np.uint64(0)
    while after + _EIGHT <= stop:
        seen |= words[after]
        after += _EIGHT
    while after < stop:
        seen |= np.uint64(data[after])
        after += _ONE
    return stop if seen & _HIGH_BITS == 0 else _NONE


@numba.njit(cache=True, nogil=True)
def hash_bytes(words: U64, data: U8, at: Any, end: Any) -> Any:
    """Return the 64-bit hash of data[at:end].

    The state takes in 8 bytes at a time (xor, multiply by an odd number, fold the upper half down): each step is a bijection of the state,
    so two texts of equal length that differ in one word always differ in hash. MurmurHash3's finaliser (public domain, Austin
    Appleby) spreads the last word. Stored in the journal: it must never change.
    """
    h = _SEED ^ (end - at)
    while at + _EIGHT <= end:
        h = (h ^ words[at]) * _STEP
        h ^= h >> _R32
        at += _EIGHT
    tail = shift = np.uint64(0)
    while at < end:
        tail |= np.uint64(data[at]) << shift
        shift += _EIGHT
        at += _ONE
    h = (h ^ tail) * _STEP
    h ^= h >> _R33
    h *= _M1
    h ^= h >> _R33
    h *= _M2
    return h ^ (h >> _R33)


@numba.njit(cache=True, nogil=True)
def scan(
    words: U64,
    data: U8,
    starts: I64,
    ends: I64,
    kinds: U8,
    nulls: U8,
    leading: int,
    plain: Flags,
    content: U64,
) -> None:
    """Look at the records data[starts[i]:ends[i]] of one schema; each begins at 1 or above.

    ``kinds`` and ``nulls`` give each field's type and null branch. ``plain[i]`` becomes whether record i is plainly well-formed, ``content[i]``
    the hash of its fields from number ``leading`` on.
    """
    for row in range(len(starts)):
        at, end = np.uint64(starts[row]), np.uint64(ends[row])
        content_at = at
        for field in range(len(kinds)):
            if field == leading:
                content_at = at
            stop = _NONE
            if kinds[field] == STRING and nulls[field] == NEVER_NULL:
                # Inlined: calling another function costs a count of references for each array.
                stop = _ascii_end(words, data, at, end)
            if stop == 0:
                stop = _field_end(words, data, at, end, kinds[field], nulls[field])
            at = stop
            if at == 0:
                break
        plain[row] = at != 0
        content[row] = hash_bytes(words, data, content_at, at) if at != 0 else np.uint64(0)
