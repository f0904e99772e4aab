"""Credit requests: the hops that counted conversions send to their journeys (docs/rules.md, section 6)."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from schemas.ids import MINTED, hop_id_of
from schemas.topics import CREDIT_REQUESTS
from streams.broker import Hop
from streams.rows import STATE, columnar
from streams.state.requests import Claim
from streams.state.transactions import TransactionKey
from streams.steps.count import RECOGNISED, TransactionState
from streams.steps.encode import encode
from streams.steps.route import partitions, routes

_IDS = ("click_id", "lead_id", "visitor_id")
# A transaction's state from its beginning on; what it ends with are the conversion's own surroundings and how its history is judged, which a request
# has no use for.
_STATE = {
    name: STATE[name]
    for name in TransactionState._fields
    if name not in ("channel", "country", "device", "bot", "approved_at", "flag")
}
_COLUMNS = {
    "trigger_partition": pl.Int32,
    "trigger_offset": pl.Int64,
    "record_time": pl.Int64,
    "transaction_route": pl.String,
    "partner": pl.String,
    "transaction_id": pl.String,
    "moved": pl.Boolean,
    **_STATE,
}
_SENT_ON = {
    **dict.fromkeys(("person", "origin"), pl.String),
    "revision": pl.Int64,
    "step": pl.Int64,
    "moved": pl.Boolean,
    "record_time": pl.Int64,
    **{name: pl.Int64 if name in ("occurred_at", "value", "payout") else pl.String for name in Claim._fields},
}
_CONTENT = (
    "partner",
    "transaction_id",
    "revision",
    "route",
    "moved",
    "click_id",
    "lead_id",
    "visitor_id",
    "occurred_at",
    "status",
    "value",
    "payout",
    "currency",
    "goal",
    "campaign",
    "affiliate",
    "offer",
)
"""What a request's id follows from, in this order: the same request has the same id, whoever sends it and how often."""

Wish = tuple[Any, ...]
"""One request to send, as `wish` makes it."""


def wish(
    trigger: tuple[int, int, int],
    route: str,
    key: TransactionKey,
    state: TransactionState,
    journey_of: TransactionState,
) -> Wish:
    """Return the request for ``state`` to the journey of ``journey_of``: the state itself, or an older one whose journey may be another.

    ``trigger`` is partition, offset and record time (ms) of the conversion, ``route`` that of the transaction.
    """
    ids = (journey_of.click_id, journey_of.lead_id, journey_of.visitor_id)
    return (*trigger, route, *key, journey_of is not state, *state[: len(_STATE)], *ids)


def request_hops(wishes: Sequence[Wish], count: int) -> list[Hop]:
    """Return the hops for ``wishes``, over ``count`` partitions. Where an older state's journey is that of the state, nothing is sent to it twice."""
    frame = columnar(wishes, {**_COLUMNS, **{f"journey_{name}": pl.String for name in _IDS}})
    frame = frame.with_columns(
        route=_journey_routes(frame, "journey_"),
        own=_journey_routes(frame, ""),
    ).filter(~pl.col("moved") | (pl.col("route") != pl.col("own")))
    recognised = pl.col("status").is_in(list(RECOGNISED))
    frame = frame.with_columns(pl.when(recognised).then(pl.col("value", "payout")).otherwise(0))
    frame = frame.with_columns(
        pl.lit("").alias("person"),
        pl.lit("").alias("origin"),
        pl.lit(0, pl.Int64).alias("step"),
        request_id=_ids(frame),
    )
    values = encode(CREDIT_REQUESTS, frame)
    # The trigger's record time: decisions on the other side do not depend on when the hop was sent.
    columns = (partitions(frame["route"], count).tolist(), frame["route"], values, frame["record_time"])
    return [
        Hop(CREDIT_REQUESTS, partition, route.encode(), value, time)
        for partition, route, value, time in zip(*columns, strict=True)
    ]


def sent_on_hops(wishes: Sequence[Wish], count: int) -> list[Hop]:
    """Return the hops that send requests on to the visitor that theirs belongs to; ``wishes`` are values of `_SENT_ON`."""
    if not wishes:
        return []
    frame = columnar(wishes, _SENT_ON)
    none = {name: pl.lit("") for name in ("click_id", "lead_id")}
    nowhere = {"trigger_partition": pl.lit(-1, pl.Int32), "trigger_offset": pl.lit(-1, pl.Int64)}
    frame = frame.with_columns(route=routes(frame["person"]), visitor_id=pl.col("person"), **none, **nowhere)
    moved = pl.when(pl.col("moved")).then(pl.lit(str(True))).otherwise(pl.lit(str(False)))
    texts = frame.with_columns(moved=moved).select(
        pl.concat_str((*_CONTENT, "person", "origin", "step"), separator="\x00")
    )
    frame = frame.with_columns(
        request_id=pl.Series([hop_id_of(text) for text in texts.to_series().to_list()])
    )
    columns = (
        partitions(frame["route"], count).tolist(),
        frame["route"],
        encode(CREDIT_REQUESTS, frame),
        frame["record_time"],
    )
    return [
        Hop(CREDIT_REQUESTS, partition, route.encode(), value, time)
        for partition, route, value, time in zip(*columns, strict=True)
    ]


def _journey_routes(frame: pl.DataFrame, prefix: str) -> pl.Series:
    """Return the route of each journey, by `schemas.ids.journey_route`."""
    click, lead, visitor = (pl.col(prefix + name) for name in _IDS)
    minted = f"^(?:{MINTED.pattern})$"
    leading = (
        pl.when(click.str.contains(minted))
        .then(click)
        .when(lead.str.contains(minted))
        .then(lead)
        .when(visitor != "")
        .then(visitor)
        .when(click != "")
        .then(click)
        .otherwise(lead)
    )
    ids = frame.select(leading.alias("id"))["id"]
    return pl.select(pl.when(ids != "").then(routes(ids)).otherwise(frame["transaction_route"])).to_series()


def _ids(frame: pl.DataFrame) -> pl.Series:
    """Return each request's id: `schemas.ids.hop_id` of its content."""
    moved = pl.when(pl.col("moved")).then(pl.lit(str(True))).otherwise(pl.lit(str(False)))
    content = frame.with_columns(moved=moved).select(pl.concat_str(_CONTENT, separator="\x00"))
    # A loop over rows: SHA-1 takes one text at a time.
    return pl.Series([hop_id_of(text) for text in content.to_series().to_list()], dtype=pl.String)
