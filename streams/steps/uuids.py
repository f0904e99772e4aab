"""Event ids: the UUID that 36 characters spell, as two 64-bit halves."""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from streams.steps.columns import string_bytes

U8 = npt.NDArray[np.uint8]
U64 = npt.NDArray[np.uint64]

_LENGTH = 36
_NO_DIGIT = 255
_DIGITS = np.full(256, _NO_DIGIT, dtype=np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = range(16)
_DIGITS[np.frombuffer(b"ABCDEF", dtype=np.uint8)] = range(10, 16)


class Uuids(NamedTuple):
    """Per row: whether it spells a UUID, and its more and less significant 64 bits (0 where it does not)."""

    valid: npt.NDArray[np.bool_]
    high: U64
    low: U64


@numba.njit(cache=True, nogil=True)
def _parse(
    offsets: npt.NDArray[np.int64], data: U8, digits: U8, valid: npt.NDArray[np.bool_], high: U64, low: U64
) -> None:
    for row in range(len(valid)):
        start = offsets[row]
        good = offsets[row + 1] - start == _LENGTH
        upper = lower = np.uint64(0)
        seen = 0
        place = 0
        while good and place < _LENGTH:
            byte = data[start + place]
            if place == 8 or place == 13 or place == 18 or place == 23:
                good = byte == 45
            else:
                digit = digits[byte]
                good = digit != _NO_DIGIT
                if seen < 16:
                    upper = (upper << np.uint64(4)) | np.uint64(digit)
                else:
                    lower = (lower << np.uint64(4)) | np.uint64(digit)
                seen += 1
            place += 1
        valid[row] = good
        high[row] = upper if good else np.uint64(0)
        low[row] = lower if good else np.uint64(0)


def parse_uuids(column: pl.Series) -> Uuids:
    """Parse a string column: 36 characters, hexadecimal digits of either case, hyphens at 9, 14, 19 and 24."""
    offsets, data = string_bytes(column)
    count = len(column)
    parsed = Uuids(np.zeros(count, np.bool_), np.zeros(count, np.uint64), np.zeros(count, np.uint64))
    _parse(offsets, data, _DIGITS, *parsed)
    return parsed
