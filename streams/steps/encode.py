"""Encoding: from a frame of columns to framed Avro values, the way back from `decode`."""

import struct

import numpy as np
import polars as pl
import pyarrow as pa
import pyruhvro

from schemas.framing import MAGIC
from streams.steps.plans import FRAMING_COLUMNS, latest_plan


def encode(topic: str, frame: pl.DataFrame) -> list[bytes]:
    """Return each row of ``frame`` as a framed value under the newest schema of ``topic``.

    The frame has that schema's columns (times Int64 in ms UTC), in any order, none of them null. Raises ValueError or KeyError where it
    does not fit.
    """
    if not frame.height:
        return []
    plan = latest_plan(topic)
    schema = pa.schema(list(pyruhvro.avro_to_arrow_schema(plan.framed_text)))
    # The two fields that stand for the framing: a boolean is one byte, a float four (here those of the schema id, big endian).
    magic = pa.array([bool(MAGIC[0])] * frame.height)
    schema_id = pa.array(np.frombuffer(struct.pack(">i", plan.id) * frame.height, dtype="<f4"))
    columns = [frame[field.name].to_arrow().cast(field.type) for field in list(schema)[FRAMING_COLUMNS:]]
    batch = pa.RecordBatch.from_arrays([magic, schema_id, *columns], schema=schema)
    return [
        value
        for part in pyruhvro.serialize_record_batch(batch, plan.framed_text, 1)
        for value in part.to_pylist()
    ]
