"""Rejects get back the bytes they came as."""

import polars as pl

from schemas.topics import CLICKS
from streams.steps.decode import decode
from streams.steps.rejects import attach_raw
from streams.steps.validate import validate
from tests.unit.streams.steps.records import batch, encoded


def test_bytes_follow_the_row() -> None:
    values = [encoded(CLICKS), encoded(CLICKS, visitor_id=""), None, encoded(CLICKS, click_id="")]
    raw = batch(CLICKS, values)
    frame, _ = decode(raw)
    rejects = attach_raw(raw, validate(CLICKS, frame)[1])
    assert rejects.select("_row", "detail", "raw", "raw_key").rows() == [
        (1, "visitor_id", values[1], b"k1"),
        (3, "click_id", values[3], b"k3"),
    ]


def test_null_is_empty() -> None:
    raw = batch(CLICKS, [b"", b"", None])
    rows = pl.DataFrame({"_row": [2, 1]}, schema={"_row": pl.UInt32})
    assert attach_raw(raw, rows).rows() == [(2, b"", b""), (1, b"", b"k1")]


def test_no_rejects_are_a_frame_too() -> None:
    raw = batch(CLICKS, [encoded(CLICKS)])
    attached = attach_raw(raw, validate(CLICKS, decode(raw)[0])[1])
    assert attached.height == 0
    assert attached.schema["raw"] == attached.schema["raw_key"] == pl.Binary
