"""The unit of all steps: record batches as columns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Records of one topic, as fetched: n >= 1 rows, contiguous per partition, offsets ascending within each partition.

    ``partition`` is int32[n], ``offset`` int64[n], ``record_time`` int64[n] in ms UTC; ``value`` and ``key`` are lists of n byte
    strings or None.
    """

    topic: str
    partition: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    record_time: npt.NDArray[np.int64]
    value: list[bytes | None]
    key: list[bytes | None]

    def __len__(self) -> int:
        return len(self.value)


def joined(batches: Sequence[RawBatch]) -> RawBatch:
    """Return ``batches`` (at least one, all of one topic, in order of arrival) as one batch, partition by partition."""
    if len(batches) == 1:
        return batches[0]
    ordered = sorted(batches, key=lambda batch: int(batch.partition[0]))
    return RawBatch(
        topic=ordered[0].topic,
        partition=np.concatenate([batch.partition for batch in ordered]),
        offset=np.concatenate([batch.offset for batch in ordered]),
        record_time=np.concatenate([batch.record_time for batch in ordered]),
        value=[value for batch in ordered for value in batch.value],
        key=[key for batch in ordered for key in batch.key],
    )


def split_at(batch: RawBatch, count: int) -> tuple[RawBatch, RawBatch | None]:
    """Cut a one-partition batch after its first ``count`` (1 to n) records. The second part is None if nothing is left."""
    if count >= len(batch):
        return batch, None
    return _rows(batch, slice(0, count)), _rows(batch, slice(count, None))


def _rows(batch: RawBatch, rows: slice) -> RawBatch:
    return RawBatch(
        batch.topic,
        batch.partition[rows],
        batch.offset[rows],
        batch.record_time[rows],
        batch.value[rows],
        batch.key[rows],
    )


def after(batch: RawBatch, offset: int) -> RawBatch | None:
    """Return the rows of a one-partition batch at ``offset`` and above, None if there are none."""
    start = int(np.searchsorted(batch.offset, offset))
    if start == 0:
        return batch
    if start >= len(batch):
        return None
    return _rows(batch, slice(start, None))
