"""The log as it was read back from Kafka."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

Line = tuple[str, int]
"""A topic and a partition number."""


class Record(NamedTuple):
    """One Kafka record; ``time`` is its timestamp in ms UTC."""

    offset: int
    time: int
    key: bytes | None
    value: bytes | None


class Span(NamedTuple):
    """What a line holds, in order of offset: from ``start``, the log's first offset, to below ``end``, the high watermark."""

    start: int
    end: int
    records: Sequence[Record]


class Log(NamedTuple):
    """All co-partitioned topics of one cluster, and the topics' ids where their sources are named by them."""

    cluster_id: str
    partitions: int
    lines: Mapping[Line, Span]
    topic_ids: Mapping[str, str] = MappingProxyType({})


def source_of(cluster_id: str, line: Line, topic_id: str = "") -> str:
    """Return the name that a line has in ClickHouse."""
    topic, partition = line
    return "/".join([cluster_id, *([topic_id] if topic_id else []), topic, str(partition)])
