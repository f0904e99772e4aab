"""Counting a batch of conversions: verdicts, signed count rows, and the credit requests to send (docs/rules.md, section 6)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.encoding import encode
from schemas.ids import hop_id, journey_route
from schemas.partitioning import partition_for
from schemas.topics import CREDIT_REQUESTS
from streams.broker import Hop
from streams.rows import Trigger, count_frame, count_row
from streams.state.ids import NEW
from streams.state.partition import PartitionState
from streams.state.transactions import TransactionKey
from streams.steps.count import StatusEvent, TransactionState

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
    hops: list[Hop] = []
    # A loop over rows: conversions are few, and each depends on the state that the one before it left.
    for place, row in enumerate(frame.select(_COLUMNS).iter_rows()):
        number, source, offset, record_time, partner, transaction_id, route, content, high, low, status_at = (
            row[:11]
        )
        key = partner, transaction_id
        transactions = states[number].transactions
        verdict[place] = transactions.verdict(key, row[11], content)
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
        hops += request_hops(key, before, after, (number, offset), partitions, record_time)
    return Counted(verdict, count_frame(rows), hops)


def request_hops(
    key: TransactionKey,
    before: TransactionState | None,
    after: TransactionState,
    trigger: tuple[int, int],
    partitions: int,
    record_time: int,
) -> list[Hop]:
    """Return the credit request for ``after``, and one that takes back what an older state's journey holds if that was another."""
    route = _journey(key, after)
    hops = [_hop(key, after, route, False, trigger, partitions, record_time)]
    if before is not None and (former := _journey(key, before)) != route:
        hops.append(_hop(key, after, former, True, trigger, partitions, record_time))
    return hops


def _journey(key: TransactionKey, state: TransactionState) -> str:
    return journey_route(*key, state.click_id, state.lead_id, state.visitor_id)


def _hop(
    key: TransactionKey,
    state: TransactionState,
    route: str,
    moved: bool,
    trigger: tuple[int, int],
    partitions: int,
    record_time: int,
) -> Hop:
    record = {
        "partner": key[0],
        "transaction_id": key[1],
        "revision": state.revision,
        "route": route,
        "moved": moved,
        "click_id": state.click_id,
        "lead_id": state.lead_id,
        "visitor_id": state.visitor_id,
        "occurred_at": state.occurred_at,
        "status": state.status,
        "value": state.recognised_value,
        "payout": state.recognised_payout,
        "currency": state.currency,
        "goal": state.goal,
        "campaign": state.campaign,
        "affiliate": state.affiliate,
        "offer": state.offer,
    }
    record["request_id"] = hop_id(*record.values())
    record["trigger_partition"], record["trigger_offset"] = trigger
    key_bytes = route.encode()
    value = encode(CREDIT_REQUESTS, record)
    # The trigger's record time: decisions on the other side do not depend on when the hop was sent.
    return Hop(CREDIT_REQUESTS, partition_for(key_bytes, partitions), key_bytes, value, record_time)
