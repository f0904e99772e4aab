"""Records for the tests of the steps: valid ones, strategies for odd ones, and batches of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from schemas.encoding import encode
from schemas.registry import latest_schema
from schemas.topics import TOPICS
from streams.steps.batch import RawBatch

NOW = 1_790_000_000_000
UUID = "0b0e5a3c-6f0e-5f6e-9d5d-0f2a6a9f4c11"
VISITOR = "abcd" + "x2" * 13

topics = st.sampled_from(TOPICS)
texts = st.one_of(
    st.just(""), st.text(max_size=12), st.sampled_from(("a" * 256, "a" * 257, "ü" * 128, "ü" * 129))
)
int64s = st.integers(-(1 << 63), (1 << 63) - 1)
int32s = st.integers(-(1 << 31), (1 << 31) - 1)
_BY_TYPE = {"string": texts, "long": int64s, "int": int32s, "boolean": st.booleans()}


def valid(topic: str, **changes: Any) -> dict[str, Any]:
    """Return a record of ``topic`` that breaks no rule at record time NOW, with ``changes``."""
    record = {
        **dict.fromkeys(("received_at", "occurred_at", "status_at"), NOW),
        **dict.fromkeys(("event_id", "request_id"), UUID),
        **dict.fromkeys(("visitor_id", "click_id", "lead_id"), VISITOR),
        **{
            "partner": "northnet",
            "transaction_id": "T-1",
            "status": "pending",
            "verdict": "accepted",
            "purpose": "claim",
            "revision": 1,
            "route": "abcd",
        },
    }
    return {
        name: value
        for name, value in {**record, **changes}.items()
        if name in latest_schema(topic).field_names
    }


def encoded(topic: str, **changes: Any) -> bytes:
    """Return `valid`, encoded and framed."""
    return encode(topic, valid(topic, **changes))


def anything(topic: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return records of ``topic`` with any content their schema allows."""
    return st.fixed_dictionaries({field["name"]: _of_type(field["type"]) for field in _fields(topic)})


def _fields(topic: str) -> Sequence[Mapping[str, Any]]:
    fields: Sequence[Mapping[str, Any]] = latest_schema(topic).parsed["fields"]
    return fields


def _of_type(avro_type: Any) -> st.SearchStrategy[Any]:
    if isinstance(avro_type, list):
        return st.none() | st.one_of(*(_of_type(branch) for branch in avro_type if branch != "null"))
    return _BY_TYPE[avro_type["type"] if isinstance(avro_type, dict) else avro_type]


def batch(topic: str, values: Sequence[bytes | None], record_time: int = NOW) -> RawBatch:
    """Return ``values`` as a batch: partition 3, offsets 100, 110, 120..., keys k0, k1, null, k3, k4, null..."""
    count = len(values)
    return RawBatch(
        topic,
        np.full(count, 3, dtype=np.int32),
        np.arange(count, dtype=np.int64) * 10 + 100,
        np.full(count, record_time, dtype=np.int64),
        list(values),
        [None if place % 3 == 2 else f"k{place}".encode() for place in range(count)],
    )
