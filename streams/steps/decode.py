"""Decoding: from framed Avro values to one frame of columns (docs/rules.md, section 2, the first three reasons)."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyruhvro

from schemas.framing import HEADER_LENGTH, MAGIC
from streams.steps.batch import RawBatch
from streams.steps.columns import META_SCHEMA, Bytes, bytes_of, words_of
from streams.steps.given import GivenIds
from streams.steps.plans import FRAMING_COLUMNS, Plan, latest_plan, plans
from streams.steps.reference import canonical, rewritten
from streams.steps.rejects import place_columns, unread
from streams.steps.scan import scan

Rows = npt.NDArray[np.int64]

FRAMING, UNKNOWN_SCHEMA, UNDECODABLE = "framing", "unknown_schema", "undecodable"

_UNFRAMED = -1
_AT_ONCE = 1 << 14
"""Records in one call of the decoder. With more, its buffers are so large that each call gets them new from the kernel, page by page."""
_MOST_BYTES = 1 << 30
"""In one call of the decoder, whose string columns have 31-bit offsets. Batches beyond that are so rare that they go record by record."""


class _Read(NamedTuple):
    """Readable records of one schema: their rows in the batch (ascending), framed values in canonical form, hashes of content."""

    rows: Rows
    values: list[bytes]
    content: npt.NDArray[np.uint64]


def decode(batch: RawBatch, given: GivenIds | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return (frame, rejects) of the records in ``batch``, in its order.

    The frame has the columns of the topic's newest schema (times Int64 in ms UTC, money Int64 in micros), ``_partition``, ``_offset``,
    ``_record_time``, ``_row`` (index in the batch) and ``content`` UInt64 (hash of the body without the fields that may differ between
    two sendings; of a credit request, of nothing). Records of older schemas have the defaults of fields they lack. Rejects carry reason,
    detail, raw, raw_key and a null event_id. Raises KeyError for an unknown topic.

    ``given``: what a Schema Registry's ids stand for; None: the checked-in ids hold.
    """
    content = bytes_of(pa.array(batch.value, pa.large_binary()))
    ids = _schema_ids(content)
    latest = latest_plan(batch.topic)
    known = plans(batch.topic) if given is None else dict.fromkeys(given.ours, latest)
    others = {} if given is None else given.others
    present = set(np.unique(ids).tolist())
    frames: list[pl.DataFrame] = []
    unreadable: list[Rows] = []
    for schema_id in sorted(known.keys() & present):
        rows = np.flatnonzero(ids == schema_id)
        frame, bad = _decoded(batch, content, known[schema_id], rows)
        frames.append(_projected(frame, known[schema_id], latest))
        unreadable.append(bad)
    for schema_id in sorted(others.keys() & present):
        frame, bad = _rewritten(batch, others[schema_id], latest, np.flatnonzero(ids == schema_id))
        frames.append(frame)
        unreadable.append(bad)
    return _together(frames, latest), _rejects(batch, ids, {*known, *others}, unreadable)


def schema_ids(batch: RawBatch) -> set[int]:
    """Return the schema ids in ``batch``."""
    ids = _schema_ids(bytes_of(pa.array(batch.value, pa.large_binary())))
    return set(np.unique(ids).tolist()) - {_UNFRAMED}


def _schema_ids(content: Bytes) -> Rows:
    """Return the schema id of each framed value, -1 for what is not framed."""
    starts = content.offsets[:-1]
    ids = np.full(len(starts), _UNFRAMED, dtype=np.int64)
    rows = np.flatnonzero(np.diff(content.offsets) >= HEADER_LENGTH)
    head = content.data[starts[rows, np.newaxis] + np.arange(HEADER_LENGTH)].astype(np.int64)
    number = (head[:, 1] << 24) | (head[:, 2] << 16) | (head[:, 3] << 8) | head[:, 4]
    ids[rows] = np.where(head[:, 0] == MAGIC[0], number, _UNFRAMED)
    return ids


def _decoded(batch: RawBatch, content: Bytes, plan: Plan, rows: Rows) -> tuple[pl.DataFrame, Rows]:
    """Return the records at ``rows`` as a frame of ``plan``'s columns, and the rows that cannot be read."""
    read = _readable(batch.value, content, plan, rows)
    kept, columns = _columns(plan, read.values, int(content.offsets[-1]))
    if len(kept) < len(read.rows):
        read = _Read(read.rows[kept], read.values, read.content[kept])
    whole = len(read.rows) == len(batch)
    frame = pl.DataFrame(
        [
            *columns,
            *place_columns(batch, None if whole else read.rows),
            pl.Series("content", read.content, dtype=pl.UInt64),
        ]
    )
    return frame, np.setdiff1d(rows, read.rows, assume_unique=True)


def _rewritten(batch: RawBatch, writer: Any, latest: Plan, rows: Rows) -> tuple[pl.DataFrame, Rows]:
    """Return the records at ``rows``, of the schema ``writer``, as a frame of ``latest``'s columns, and the rows that cannot be read."""
    # A loop over rows: other schemas than ours are those of few producers, and only the reference knows how schemas are resolved.
    values = {
        row: value
        for row in rows.tolist()
        if (value := rewritten(batch.topic, writer, batch.value[row] or b"")) is not None
    }
    kept = np.array(list(values), dtype=np.int64)
    part = RawBatch(
        batch.topic,
        batch.partition[kept],
        batch.offset[kept],
        batch.record_time[kept],
        list(values.values()),
        [batch.key[row] for row in values],
    )
    content = bytes_of(pa.array(part.value, pa.large_binary()))
    frame, bad = _decoded(part, content, latest, np.arange(len(kept)))
    frame = frame.with_columns(_row=pl.Series(kept[frame["_row"].to_numpy()], dtype=pl.UInt32))
    return frame, np.concatenate([np.setdiff1d(rows, kept, assume_unique=True), kept[bad]])


def _readable(values: Sequence[bytes | None], content: Bytes, plan: Plan, rows: Rows) -> _Read:
    """Return the records among ``rows`` that the reference decoder can read."""
    plain, hashes = _scanned(plan, content, rows)
    if plain.all():
        return _Read(rows, _chosen(values, rows), hashes)
    # A loop over rows: what is not plainly well-formed is rare, and only the reference can tell what it is.
    rescued = {
        row: value
        for row in rows[~plain].tolist()
        if (value := canonical(plan.id, values[row] or b"")) is not None
    }
    if rescued:
        again = bytes_of(pa.array(rescued.values(), pa.large_binary()))
        found = np.searchsorted(rows, list(rescued))
        plain[found], hashes[found] = _scanned(plan, again, np.arange(len(rescued)))
    chosen = [rescued.get(row) or values[row] or b"" for row in rows[plain].tolist()]
    return _Read(rows[plain], chosen, hashes[plain])


def _chosen(values: Sequence[bytes | None], rows: Rows) -> list[bytes]:
    """Return the values at ``rows``, none of which is null. The list itself where that is all of them: nothing is copied."""
    if len(rows) == len(values) and isinstance(values, list):
        return values
    return [value for row in rows.tolist() if (value := values[row]) is not None]


def _scanned(plan: Plan, content: Bytes, rows: Rows) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.uint64]]:
    """Return per row whether it is plainly well-formed, and the hash of its content."""
    starts, ends = content.offsets[:-1][rows] + HEADER_LENGTH, content.offsets[1:][rows]
    plain = np.zeros(len(rows), dtype=np.bool_)
    hashes = np.zeros(len(rows), dtype=np.uint64)
    words = words_of(content.data)
    scan(words, content.data, starts, ends, plan.kinds, plan.nulls, plan.leading, plain, hashes)
    if plan.leading == len(plan.kinds):
        hashes[:] = 0
    return plain, hashes


def _columns(plan: Plan, values: list[bytes], size: int) -> tuple[Rows, list[pl.Series]]:
    """Decode framed values of ``size`` bytes or less; return which of them (positions, ascending) made it, and the columns of those."""
    at_once = _AT_ONCE if size <= _MOST_BYTES else 1
    starts = range(0, len(values), at_once)
    parts = [run for start in starts for run in _runs(plan, values[start : start + at_once], start)]
    if not parts:
        return np.empty(0, dtype=np.int64), [
            pl.Series(name, [], dtype=dtype) for name, dtype in plan.dtypes.items()
        ]
    kept = np.concatenate([np.arange(start, start + part.num_rows) for start, part in parts])
    frames = [_frame(part) for _, part in parts]
    return kept, (frames[0] if len(frames) == 1 else pl.concat(frames, rechunk=True)).get_columns()


def _frame(part: pa.RecordBatch) -> pl.DataFrame:
    names, columns = part.schema.names[FRAMING_COLUMNS:], part.columns[FRAMING_COLUMNS:]
    # Times as the integers they are.
    plain = [column.view(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in columns]
    frame = pl.from_arrow(pa.RecordBatch.from_arrays(plain, names))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _runs(plan: Plan, values: list[bytes], start: int) -> list[tuple[int, pa.RecordBatch]]:
    """Return (position of the first value, decoded batch) for runs of values that decode; ``start`` is the position of values[0].

    The scan has passed all of them, so this is one run. Should the decoder still refuse one, halving finds it, and its neighbours go on.
    """
    try:
        return [(start, pyruhvro.deserialize_array_threaded(values, plan.framed_text, 1)[0])]
    except ValueError:
        if len(values) == 1:
            return []
    middle = len(values) // 2
    return [*_runs(plan, values[:middle], start), *_runs(plan, values[middle:], start + middle)]


def _projected(frame: pl.DataFrame, plan: Plan, latest: Plan) -> pl.DataFrame:
    """Return the columns of the newest schema: those that ``plan`` has, the others by their defaults."""
    if plan.id == latest.id:
        return frame
    columns = [
        pl.col(name).cast(dtype)
        if name in plan.dtypes
        else pl.lit(latest.defaults[name], dtype=dtype).alias(name)
        for name, dtype in latest.dtypes.items()
    ]
    return frame.select(*columns, *META_SCHEMA, "content")


def _together(frames: list[pl.DataFrame], latest: Plan) -> pl.DataFrame:
    """Return the frames of all schemas as one, in order of rows."""
    if not frames:
        return pl.DataFrame(schema={**latest.dtypes, **META_SCHEMA, "content": pl.UInt64})
    return frames[0] if len(frames) == 1 else pl.concat(frames).sort("_row")


def _rejects(batch: RawBatch, ids: Rows, known: Iterable[int], unreadable: Sequence[Rows]) -> pl.DataFrame:
    """Return the rejects in order of rows."""
    reason_of: dict[int, tuple[str, str]] = {
        row: (UNDECODABLE, "") for rows in unreadable for row in rows.tolist()
    }
    # A loop over rows: rejects are few.
    for row in np.flatnonzero(~np.isin(ids, list(known))).tolist():
        reason_of[row] = (FRAMING, "") if ids[row] == _UNFRAMED else (UNKNOWN_SCHEMA, str(ids[row]))
    rows = sorted(reason_of)
    reasons, details = zip(*(reason_of[row] for row in rows), strict=True) if rows else ((), ())
    return unread(batch, np.array(rows, dtype=np.int64), reasons, details)
