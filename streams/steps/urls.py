"""Hosts and advertising click ids of URLs.

The definition is Python's: ``urlsplit(url).hostname`` and ``parse_qsl`` of the query. Nearly all URLs are of a form in which that comes down to
looking for a few bytes; compiled code takes those, and leaves the others to the definition.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import numba
import numpy as np
import numpy.typing as npt

from streams.steps.columns import Bytes

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

UNDECIDED = np.uint8(1 << 7)
"""Flag of a URL that only the definition can tell about."""

_LONGEST_NAME = 16
_WWW = "www."
# Classes of bytes. A tab, line break, space or control character changes how Python cuts a URL.
_SCHEME, _HOST, _DIGIT, _CONTROL = np.uint8(1), np.uint8(2), np.uint8(4), np.uint8(8)


class Names(NamedTuple):
    """Parameter names to look for, in lower case, as two words of 8 bytes each, with the flags that each stands for."""

    first: U64
    second: U64
    flags: U8


class Located(NamedTuple):
    """Per URL: where its host begins and ends in the data, and the flags of the names its query has (or UNDECIDED)."""

    start: I64
    end: I64
    flags: U8


def names_of(flags: Mapping[str, int]) -> Names:
    """Return the names to look for. Raises ValueError for a name that is not 1 to 16 characters of ASCII in lower case."""
    for name in flags:
        if not (name.isascii() and name == name.lower() and 0 < len(name) <= _LONGEST_NAME):
            raise ValueError(f"click id {name!r}: not 1 to {_LONGEST_NAME} lower-case ASCII characters")
    words = np.frombuffer(b"".join(name.encode().ljust(_LONGEST_NAME, b"\0") for name in flags), dtype="<u8").reshape(-1, 2)
    return Names(words[:, 0].copy(), words[:, 1].copy(), np.array(list(flags.values()), dtype=np.uint8))


def host_of(url: str) -> str:
    """Return the host of ``url`` in lower case, without ``www.`` in front and without port; empty where there is none."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return ""
    return (host or "").removeprefix(_WWW)


def flags_of(url: str, flags: Mapping[str, int]) -> int:
    """Return the flags of all names in the query of ``url`` that have a value; names are compared in lower case."""
    try:
        query = urlsplit(url).query
    except ValueError:
        return 0
    found = 0
    for name, _ in parse_qsl(query):
        found |= flags.get(name.lower(), 0)
    return found


@cache
def _classes() -> U8:
    """Return the classes of each byte value."""
    letters, digits = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", b"0123456789"
    classes = np.zeros(256, dtype=np.uint8)
    for members, kind in ((letters + digits + b"+-.", _SCHEME), (letters + digits + b"-._", _HOST), (digits, _DIGIT)):
        classes[np.frombuffer(members, dtype=np.uint8)] |= kind
    classes[:33] |= _CONTROL
    classes[127] |= _CONTROL
    return classes


def locate(urls: Bytes, names: Names | None) -> Located:
    """Look at every URL; at its query only if ``names`` is given."""
    count = len(urls.offsets) - 1
    found = Located(np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.uint8))
    _locate(*urls, _classes(), names or names_of({}), names is not None, *found)
    return found


def hosts(urls: Bytes, located: Located) -> Bytes:
    """Return the located hosts in lower case and without ``www.`` in front, end to end."""
    offsets = np.zeros(len(located.start) + 1, dtype=np.int64)
    np.cumsum(located.end - located.start, out=offsets[1:])
    data = np.empty(int(offsets[-1]), dtype=np.uint8)
    used = _lower_hosts(urls.data, located.start, located.end, offsets, data)
    return Bytes(offsets, data[:used])


@numba.njit(cache=True, nogil=True)
def _lower(byte: int) -> int:
    return byte | 32 if 65 <= byte <= 90 else byte


@numba.njit(cache=True, nogil=True, inline="always")
def _authority(data: U8, classes: U8, at: int, end: int) -> int:
    """Return where the authority of the URL in [at, end) begins: after a scheme and ``://``. -1 if it does not begin like that."""
    place = at
    while place < end and classes[data[place]] & _SCHEME:
        place += 1
    if not 65 <= (data[at] & 0xDF) <= 90 or place + 3 > end:
        return -1
    return place + 3 if data[place] == 58 and data[place + 1] == 47 and data[place + 2] == 47 else -1


@numba.njit(cache=True, nogil=True, inline="always")
def _name_flags(data: U8, at: int, end: int, first: U64, second: U64, flags: U8) -> int:
    """Return the flags of the name data[at:end], UNDECIDED if it has to be unescaped or is not ASCII."""
    words = (np.uint64(0), np.uint64(0))
    low, high = words
    for place in range(at, end):
        byte = data[place]
        if byte == 37 or byte == 43 or byte >= 128:
            return UNDECIDED
        lower = np.uint64(byte | 32 if 65 <= byte <= 90 else byte)
        shift = np.uint64(8 * ((place - at) & 7))
        if place - at < 8:
            low |= lower << shift
        else:
            high |= lower << shift
    found = np.uint8(0)
    if 0 < end - at <= _LONGEST_NAME:
        for entry in range(len(first)):
            if first[entry] == low and second[entry] == high:
                found |= flags[entry]
    return found


@numba.njit(cache=True, nogil=True, inline="always")
def _query_flags(data: U8, at: int, end: int, first: U64, second: U64, flags: U8) -> int:
    """Return the flags of all names with a value in the query data[at:end]."""
    found = np.uint8(0)
    while at < end:
        name_end = at
        while name_end < end and data[name_end] != 61 and data[name_end] != 38:
            name_end += 1
        stop = name_end
        while stop < end and data[stop] != 38:
            stop += 1
        if stop > name_end + 1:
            found |= _name_flags(data, at, name_end, first, second, flags)
        at = stop + 1
    return found


@numba.njit(cache=True, nogil=True)
def _locate(
    offsets: I64,
    data: U8,
    classes: U8,
    first: U64,
    second: U64,
    flags: U8,
    with_query: bool,
    host_start: I64,
    host_end: I64,
    found: U8,
) -> None:
    for row in range(len(found)):
        at, end = offsets[row], offsets[row + 1]
        if at == end:
            continue
        place = _authority(data, classes, at, end)
        if place < 0:
            found[row] = UNDECIDED
            continue
        start = place
        while place < end and classes[data[place]] & _HOST:
            place += 1
        stop = place
        if place < end and data[place] == 58:
            place += 1
            while place < end and classes[data[place]] & _DIGIT:
                place += 1
        if place < end and data[place] != 47 and data[place] != 63 and data[place] != 35:
            found[row] = UNDECIDED
            continue
        host_start[row], host_end[row] = start, stop
        query, query_end = end, end
        while place < end:
            byte = data[place]
            if classes[byte] & _CONTROL:
                found[row] = UNDECIDED
                break
            if byte == 63 and query == end and query_end == end:
                query = place + 1
            elif byte == 35 and query_end == end:
                query_end = place
            place += 1
        if with_query and found[row] != UNDECIDED and query < query_end:
            found[row] = _query_flags(data, query, query_end, first, second, flags)
