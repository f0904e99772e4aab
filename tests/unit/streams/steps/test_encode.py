"""Encoding a frame gives what the reference encoder gives for each of its rows, and decoding gives the frame back."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.encoding import encode as encode_one
from schemas.topics import CREDIT_REQUESTS, TOPICS
from streams.steps.batch import RawBatch
from streams.steps.decode import decode
from streams.steps.encode import encode
from streams.steps.plans import latest_plan

_VALUES = {
    pl.String(): st.text(max_size=20),
    pl.Int64(): st.integers(-(2**63), 2**63 - 1),
    pl.Int32(): st.integers(-(2**31), 2**31 - 1),
    pl.Boolean(): st.booleans(),
}


def frames(topic: str) -> st.SearchStrategy[pl.DataFrame]:
    dtypes = latest_plan(topic).dtypes
    row = st.fixed_dictionaries({name: _VALUES[dtype] for name, dtype in dtypes.items()})
    return st.lists(row, max_size=4).map(lambda rows: pl.DataFrame(rows, schema=dtypes))


@pytest.mark.parametrize("topic", TOPICS)
@given(data=st.data())
@settings(max_examples=30)
def test_it_is_what_the_reference_encoder_writes(topic: str, data: st.DataObject) -> None:
    frame = data.draw(frames(topic))
    assert encode(topic, frame.select(reversed(frame.columns))) == [
        encode_one(topic, row) for row in frame.iter_rows(named=True)
    ]


@given(frames(CREDIT_REQUESTS).filter(lambda frame: frame.height > 0))
@settings(max_examples=30)
def test_what_was_encoded_is_decoded(frame: pl.DataFrame) -> None:
    places = np.arange(frame.height, dtype=np.int64)
    values: list[bytes | None] = [*encode(CREDIT_REQUESTS, frame)]
    batch = RawBatch(
        CREDIT_REQUESTS, places.astype(np.int32) * 0, places, places, values, [None] * len(values)
    )
    decoded, rejects = decode(batch)
    assert not rejects.height
    assert decoded.select(frame.columns).equals(frame)
