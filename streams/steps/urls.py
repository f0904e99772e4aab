"""Hosts and advertising click ids of URLs.

The definition is Python's: ``urlsplit(url).hostname`` and ``parse_qsl`` of the query. Nearly all URLs are of a form in which that comes down to
looking for a few bytes; compiled code takes those, and leaves the others to the definition.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
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
_ONE, _TWO, _THREE, _SEVEN, _SIXTY_THREE = (np.uint64(number) for number in (1, 2, 3, 7, 63))
_WWW = "www."
# Classes of bytes. Python drops tabs and line breaks before it cuts a URL; names are unescaped before they are compared.
_SCHEME, _HOST, _DIGIT, _CONTROL, _ODD, _END_OF_NAME = (np.uint8(1 << bit) for bit in range(6))


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
    words = np.frombuffer(
        b"".join(name.encode().ljust(_LONGEST_NAME, b"\0") for name in flags), dtype="<u8"
    ).reshape(-1, 2)
    return Names(words[:, 0].copy(), words[:, 1].copy(), np.array(list(flags.values()), dtype=np.uint8))


def host_of(url: str) -> str:
    """Return the host of ``url`` in lower case, without ``www.`` in front and without port; empty where there is none."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return ""
    return (host or "").lower().removeprefix(_WWW)


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
    members = {
        _SCHEME: letters + digits + b"+-.",
        _HOST: letters + digits + b"-._",
        _DIGIT: digits,
        _ODD: b"%+",
        _END_OF_NAME: b"=&#",
    }
    for kind, characters in members.items():
        classes[np.frombuffer(characters, dtype=np.uint8)] |= kind
    classes[:33] |= _CONTROL | _ODD
    classes[127:] |= _ODD
    return classes


def locate(urls: Bytes, names: Names) -> Located:
    """Look at every URL; at its query only if there are ``names``."""
    count = len(urls.offsets) - 1
    found = Located(np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, np.uint8))
    _locate(
        urls.offsets,
        urls.data,
        _classes(),
        names.first,
        names.second,
        names.flags,
        found.start,
        found.end,
        found.flags,
    )
    return found


def hosts(urls: Bytes, located: Located) -> Bytes:
    """Return the located hosts in lower case and without ``www.`` in front, end to end."""
    offsets = np.empty(len(located.start) + 1, dtype=np.int64)
    data = np.empty(int((located.end - located.start).sum()), dtype=np.uint8)
    used = _lower_hosts(urls.data, located.start, located.end, offsets, data)
    return Bytes(offsets, data[:used])


@numba.njit(cache=True, nogil=True)
def _lower_hosts(data: U8, start: I64, end: I64, offsets: I64, out: U8) -> int:
    """Write the hosts data[start[i]:end[i]] to ``out``; correct ``offsets`` where ``www.`` was left out; return the bytes used."""
    used = 0
    for row in range(len(start)):
        at, stop = start[row], end[row]
        offsets[row] = used
        for place in range(at, stop):
            byte = data[place]
            out[used] = byte | 32 if 65 <= byte <= 90 else byte
            used += 1
            # Once the fourth character is out: were they www.?
            if (
                place == at + 3
                and byte == 46
                and out[used - 4] == 119
                and out[used - 3] == 119
                and out[used - 2] == 119
            ):
                used -= 4
    offsets[len(start)] = used
    return used


@numba.njit(cache=True, nogil=True, inline="always")
def _authority(data: U8, classes: U8, at: Any, end: Any) -> Any:
    """Return where the authority of the URL in [at, end) begins: after a scheme and ``://``. 0 if it does not begin like that."""
    place = at
    while place < end and classes[data[place]] & _SCHEME:
        place += _ONE
    if place + _THREE > end or not 65 <= (data[at] & 0xDF) <= 90:
        return np.uint64(0)
    if data[place] == 58 and data[place + _ONE] == 47 and data[place + _TWO] == 47:
        return place + _THREE
    return np.uint64(0)


@numba.njit(cache=True, nogil=True, inline="always")
def _host_end(data: U8, classes: U8, at: Any, end: Any) -> Any:
    """Return where the host at ``at`` ends, 0 if the authority is more than letters, digits, ``-._``, and a port."""
    while at < end and classes[data[at]] & _HOST:
        at += _ONE
    after = at
    if after < end and data[after] == 58:
        after += _ONE
        while after < end and classes[data[after]] & _DIGIT:
            after += _ONE
    return at if after == end or data[after] == 47 or data[after] == 63 or data[after] == 35 else np.uint64(0)


@numba.njit(cache=True, nogil=True, inline="always")
def _query(data: U8, at: Any, end: Any) -> Any:
    """Return where the query begins, ``end`` if there is none before the fragment."""
    while at < end and data[at] != 63 and data[at] != 35:
        at += _ONE
    return at + _ONE if at < end and data[at] == 63 else end


@numba.njit(cache=True, nogil=True, inline="always")
def _query_flags(
    data: U8, classes: U8, at: Any, end: Any, first: U64, second: U64, flags: U8, initials: Any
) -> Any:
    """Return the flags of all names that have a value in the query at ``at``, UNDECIDED if one has to be unescaped.

    Indexes are unsigned: that spares a look at their sign for every byte.
    """
    found = np.uint8(0)
    while at < end:
        low = high = np.uint64(0)
        begin = at
        odd = np.uint8(0)
        while at < end and not classes[data[at]] & _END_OF_NAME:
            byte = data[at]
            odd |= classes[byte] & _ODD
            lower = np.uint64(byte | 32 if 65 <= byte <= 90 else byte) << (((at - begin) & _SEVEN) << _THREE)
            if at - begin < 8:
                low |= lower
            else:
                high |= lower
            at += _ONE
        length = at - begin
        if at < end and data[at] == 61:
            at += _ONE
            value = at
            while at < end and data[at] != 38 and data[at] != 35:
                if classes[data[at]] & _CONTROL:
                    return UNDECIDED
                at += _ONE
            if at > value and odd:
                return UNDECIDED
            if at > value and length <= _LONGEST_NAME and (initials >> (low & _SIXTY_THREE)) & _ONE:
                for entry in range(len(first)):
                    if first[entry] == low and second[entry] == high:
                        found |= flags[entry]
        if at < end and data[at] == 35:
            break
        at += _ONE
    return found


@numba.njit(cache=True, nogil=True)
def _locate(
    offsets: I64,
    data: U8,
    classes: U8,
    first: U64,
    second: U64,
    flags: U8,
    host_start: I64,
    host_end: I64,
    found: U8,
) -> None:
    # Names begin with few letters: most parameters are ruled out by one bit.
    initials = np.uint64(0)
    for name in first:
        initials |= _ONE << (name & _SIXTY_THREE)
    for row in range(len(found)):
        at, end = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        if at == end:
            continue
        start = _authority(data, classes, at, end)
        stop = _host_end(data, classes, start, end) if start != 0 else np.uint64(0)
        if stop == 0:
            found[row] = UNDECIDED
            continue
        host_start[row], host_end[row] = start, stop
        if len(first):
            query = _query(data, stop, end)
            found[row] = _query_flags(data, classes, query, end, first, second, flags, initials)
