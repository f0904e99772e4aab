"""Counting a batch of conversions: verdicts, signed count rows, and the credit requests to send (docs/rules.md, section 6)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from streams.broker import Hop
from streams.requesting import Wish, request_hops, wish
from streams.rows import Trigger, count_frame, count_row
from streams.state.ids import NEW
from streams.state.partition import PartitionState
from streams.steps.count import StatusEvent

EVENT_COLUMNS = (
    "status",
    "occurred_at",
    "value",
    "payout",
    "currency",
    "click_id",
    "lead_id",
    "visitor_id",
    "goal",
    "campaign",
    "affiliate",
    "offer",
    "channel",
    "country",
    "device",
    "bot",
)
_COLUMNS = (
    "_partition",
    "_source",
    "_offset",
    "_record_time",
    "partner",
    "transaction_id",
    "route",
    "content",
    "event_hi",
    "event_lo",
    "status_at",
    *EVENT_COLUMNS,
)


class Counted(NamedTuple):
    """One verdict per row of the batch, the count rows, and the hops."""

    verdict: npt.NDArray[np.int8]
    rows: pl.DataFrame
    hops: list[Hop]


def count_conversions(states: Mapping[int, PartitionState], frame: pl.DataFrame, partitions: int) -> Counted:
    """Count the conversions of ``frame`` in order, moving ``states`` on."""
    verdict = np.zeros(frame.height, dtype=np.int8)
    rows: list[tuple[Any, ...]] = []
    wishes: list[Wish] = []
    # A loop over rows: conversions are few, and each depends on the state that the one before it left.
    for place, row in enumerate(frame.select(_COLUMNS).iter_rows()):
        number, source, offset, record_time, partner, transaction_id, route, content, high, low, status_at = (
            row[:11]
        )
        key = partner, transaction_id
        transactions = states[number].transactions
        verdict[place] = transactions.verdict(key, (row[11], status_at), content)
        if verdict[place] != NEW:
            continue
        event_id = (high << 64) | low
        event = StatusEvent(status_at, event_id, *row[11:])
        # As new as the newest record: it is not let go before the journal has it.
        before, after = transactions.accept(key, event, content, max(record_time, states[number].newest))
        trigger = Trigger((source, offset, record_time))
        if before is None or before[1:] != after[1:]:
            if before is not None:
                rows.append(count_row(trigger, -1, key, route, event_id, before))
            rows.append(count_row(trigger, 1, key, route, event_id, after))
        place_and_time = (number, offset, record_time)
        wishes.append(wish(place_and_time, route, key, after, after))
        if before is not None:
            wishes.append(wish(place_and_time, route, key, after, before))
    return Counted(verdict, count_frame(rows), request_hops(wishes, partitions))
