"""Compressed frames: checksum (16 bytes), method (1), packed size with header (4), plain size (4), data."""

import struct
from collections.abc import Iterator

import lz4.block
from clickhouse_cityhash.cityhash import CityHash128

from deploy.embedded.clickhouse.cursor import GrowingCursor
from deploy.embedded.clickhouse.errors import CANNOT_DECOMPRESS, CHECKSUM_DOESNT_MATCH, ServerError, refused

LZ4, ZSTD, NONE = 0x82, 0x90, 0x02
FRAME_BYTES = 1 << 20
LARGEST_FRAME = 1 << 30
HEADER = struct.Struct("<BII")


class FrameCursor(GrowingCursor):
    """The decompressed bytes of the frames that arrive in another cursor."""

    def __init__(self, source: GrowingCursor) -> None:
        super().__init__()
        self.source = source

    def fetch(self, missing: int) -> None:
        while missing > 0:
            plain = read_frame(self.source)
            self.room(len(plain))[: len(plain)] = plain
            self.end += len(plain)
            missing -= len(plain)


def read_frame(source: GrowingCursor) -> bytes:
    """Receive one frame, check it and decompress it. Raises ServerError; the stream is then out of step."""
    source.require(16 + HEADER.size)
    checksum = source.raw(16)
    method, size, plain_size = HEADER.unpack_from(source.view, source.position)
    if not HEADER.size <= size <= LARGEST_FRAME or plain_size > LARGEST_FRAME:
        raise ServerError(
            CANNOT_DECOMPRESS, f"A compressed frame of {size} and {plain_size} bytes is not plausible"
        )
    source.skip(size)
    frame = source.view[source.position - size : source.position]
    if _checksum(frame) != checksum:
        raise ServerError(
            CHECKSUM_DOESNT_MATCH, "Checksum doesn't match: corrupted data. (CHECKSUM_DOESNT_MATCH)"
        )
    plain = _decompress(method, frame[HEADER.size :], plain_size)
    del frame
    source.forget()
    return plain


def frames(parts: tuple[bytes, memoryview]) -> Iterator[bytes]:
    """Compress a small head and a body behind it into frames of at most FRAME_BYTES plain bytes."""
    head, body = parts
    first = max(0, FRAME_BYTES - len(head))
    yield _frame(head + body[:first].tobytes())
    for start in range(first, len(body), FRAME_BYTES):
        yield _frame(body[start : start + FRAME_BYTES])


def _frame(plain: bytes | memoryview) -> bytes:
    packed: bytes = lz4.block.compress(plain, store_size=False)
    frame = HEADER.pack(LZ4, HEADER.size + len(packed), len(plain)) + packed
    return _checksum(frame) + frame


def _checksum(frame: bytes | memoryview) -> bytes:
    value: int = CityHash128(frame)
    return struct.pack("<QQ", value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF)


def _decompress(method: int, packed: memoryview, plain_size: int) -> bytes:
    if method == NONE:
        return packed.tobytes()
    if method == ZSTD:
        raise refused("compression method zstd (use lz4)")
    if method != LZ4:
        raise refused(f"compression method {method:#x}")
    try:
        return bytes(lz4.block.decompress(packed, uncompressed_size=plain_size))
    except lz4.block.LZ4BlockError as error:
        raise ServerError(CANNOT_DECOMPRESS, f"Cannot decompress: {error}") from error
