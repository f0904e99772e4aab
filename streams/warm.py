"""Loading the compiled kernels before the first record, so that joining a group is followed by work and not by compiling."""

import numpy as np
import polars as pl

from streams.memory import settle_names
from streams.state.hashing import id_hashes, string_hashes
from streams.state.ids import SeenIds
from streams.state.touches import NEEDED, Touches
from streams.steps.enrich import Lookups
from streams.steps.warm import warm_up as warm_up_steps


def warm_up(lookups: Lookups) -> None:
    """Run every kernel once over next to nothing, and let grow now what would grow later."""
    warm_up_steps(lookups)
    settle_names()
    one = np.ones(1, dtype=np.uint64)
    SeenIds(1, 1, 1000).check(id_hashes(one, one), np.zeros(1, dtype=np.int64), one)
    string_hashes(pl.Series(["a"]))
    _touches()


def _touches() -> None:
    numbers = ("occurred_at", "_record_time", "event_hi", "event_lo", "bot")
    columns = {name: [0] if name in numbers else ["aaaa"] for name in NEEDED}
    frame = pl.DataFrame(columns).with_columns(
        pl.col("event_hi", "event_lo").cast(pl.UInt64), kind=pl.lit("click")
    )
    touches = Touches()
    touches.add(pl.concat([frame] * 5000))
    one = np.ones(1, dtype=np.uint64)
    touches.journeys(one.astype(np.uint32), one, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64))
