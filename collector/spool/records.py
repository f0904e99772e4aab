"""The records of a segment as bytes, and what can be read of a segment that is torn or damaged. Pure.

A record is a head (magic, length of the body, CRC-32 of the body, CRC-32 of the head itself) and a body (record
time, topic, key, value). The head has a checksum of its own, so that a wrong length is not believed. Both start
from the segment's salt: what somebody wrote into an event, or what an older file left in a block of the disk,
is not taken for a record of this segment.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple
from zlib import crc32

from collector.producer import SentRecord

MAGIC = b"FSP1"
_HEAD = struct.Struct(">4sIII")
_CHECKED_HEAD = struct.Struct(">4sII")
_BODY = struct.Struct(">qHH")
HEAD_BYTES = _HEAD.size


class Span(NamedTuple):
    """Bytes of a segment from ``start`` up to ``end``: one whole record, or damage."""

    start: int
    end: int
    is_whole: bool


def frame(record: SentRecord, salt: int) -> bytes:
    """Return ``record`` as it stands in a segment with this salt (32 bits)."""
    topic = record.topic.encode()
    body = _BODY.pack(record.timestamp, len(topic), len(record.key)) + topic + record.key + record.value
    checksum = crc32(body, salt)
    head = _CHECKED_HEAD.pack(MAGIC, len(body), checksum)
    return _HEAD.pack(MAGIC, len(body), checksum, crc32(head, salt)) + body


def unframe(data: bytes, span: Span) -> SentRecord:
    """Return the record in a whole span of ``data``."""
    at = span.start + HEAD_BYTES
    timestamp, topic_bytes, key_bytes = _BODY.unpack_from(data, at)
    topic = at + _BODY.size
    key = topic + topic_bytes
    value = key + key_bytes
    return SentRecord(data[topic:key].decode(), data[key:value], data[value : span.end], timestamp)


def spans(data: bytes, salt: int) -> Iterator[Span]:
    """Yield the spans of a segment, in order and without a gap. Damage ends where the next whole record begins."""
    at = 0
    view = memoryview(data)
    while at < len(data):
        end = _end(view, at, salt)
        span = Span(at, _resume(data, at, salt), False) if end is None else Span(at, end, True)
        yield span
        at = span.end


def is_torn(data: bytes, start: int, salt: int) -> bool:
    """Whether the damage from ``start`` to the end of ``data`` is what an unfinished write leaves: a record that
    is cut short, or blocks that were never filled. Nobody was told that such a record is kept."""
    rest = data[start:]
    head = _head(memoryview(rest), 0, salt)
    wanted = HEAD_BYTES + (head[0] if head else 0)
    return len(rest) < wanted or not any(rest)


def _end(data: memoryview, at: int, salt: int) -> int | None:
    """Where the whole record that begins at ``at`` ends; None if none does."""
    head = _head(data, at, salt)
    if head is None:
        return None
    length, checksum = head
    body = at + HEAD_BYTES
    end = body + length
    return end if end <= len(data) and crc32(data[body:end], salt) == checksum else None


def _head(data: memoryview, at: int, salt: int) -> tuple[int, int] | None:
    """Length and checksum of the body whose head is at ``at``; None if there is no sound head."""
    if at + HEAD_BYTES > len(data):
        return None
    magic, length, checksum, own = _HEAD.unpack_from(data, at)
    if magic != MAGIC or crc32(data[at : at + _CHECKED_HEAD.size], salt) != own:
        return None
    return length, checksum


def _resume(data: bytes, at: int, salt: int) -> int:
    """Where the first whole record behind ``at`` begins; the end of ``data`` if there is none."""
    view = memoryview(data)
    while (at := data.find(MAGIC, at + 1)) >= 0:
        if _end(view, at, salt) is not None:
            return at
    return len(data)
