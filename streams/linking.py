"""Joining visitors, and ids that lead to them: the hops that say so, and what becomes of them (docs/rules.md, sections 7 and 8)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from schemas.attribution import TOUCH_KINDS
from schemas.ids import hop_id_of, route_of
from schemas.topics import LINKS
from streams.broker import Hop
from streams.rows import columnar
from streams.state.hashing import hash_of, string_hashes
from streams.state.links import Links
from streams.state.partition import PartitionState
from streams.state.touches import DIMENSIONS, Touches, route_codes
from streams.steps.encode import encode
from streams.steps.route import partitions, routes, rows_by_partition

KEYS = {"email_hash": "email", "phone_hash": "phone"}
LONGEST_BYTES = 256
OVER_LIMIT = "over_limit"
_NO_ID = "00000000-0000-0000-0000-000000000000"
_FIELDS = {
    "record_time": pl.Int64,
    "purpose": pl.String,
    "occurred_at": pl.Int64,
    "route": pl.String,
    "visitor_id": pl.String,
    "identity_key": pl.String,
    "winner": pl.String,
    "origin": pl.String,
    "touch_id": pl.String,
    "touch_kind": pl.String,
    **dict.fromkeys(DIMENSIONS, pl.String),
    "bot": pl.Int32,
}
_NO_TOUCH = (_NO_ID, "", *[""] * len(DIMENSIONS), 0)

Wish = tuple[Any, ...]
"""One link to send: values of `_FIELDS`."""


def link_hops(wishes: Sequence[Wish], count: int) -> list[Hop]:
    """Return the hops for ``wishes``, each once, over ``count`` partitions."""
    wishes = list(dict.fromkeys(wishes))
    if not wishes:
        return []
    # A loop over rows: SHA-1 takes one text at a time. The record time is no content.
    ids = [hop_id_of("\x00".join(map(str, wish[1:]))) for wish in wishes]
    frame = columnar(wishes, _FIELDS).with_columns(event_id=pl.Series(ids))
    columns = (
        partitions(frame["route"], count).tolist(),
        frame["route"],
        encode(LINKS, frame),
        frame["record_time"],
    )
    return [
        Hop(LINKS, number, route.encode(), value, time)
        for number, route, value, time in zip(*columns, strict=True)
    ]


def aliases(touches: pl.DataFrame) -> list[Wish]:
    """Return the aliases of accepted clicks or leads: the ids they carry that are looked for on another route than their visitor's."""
    kind = touches["kind"][0] if touches.height else "click"
    found: list[Wish] = []
    own = f"{kind}_id"
    for column in (own, "external_id") if kind == "click" else (own,):
        named = touches.filter(pl.col(column) != "")
        named = named.with_columns(target=routes(named[column]))
        is_needed = pl.col("target") != pl.col("route")
        if column != own:
            # Nobody else looks for a network's id, wherever it is.
            is_needed = pl.col(column) != pl.col(own)
        found += [
            (time, "alias", at, target, visitor, text, "", "", _uuid(high, low), kind, *_NO_TOUCH[2:])
            for time, at, target, visitor, text, high, low in named.filter(is_needed)
            .select("_record_time", "occurred_at", "target", "visitor_id", column, "event_hi", "event_lo")
            .iter_rows()
        ]
    return found


def alias_columns(frame: pl.DataFrame) -> dict[str, np.ndarray[Any, Any]]:
    """Return the columns of aliases as they are remembered, but for their visitors; the touch's id is in ``event_hi`` and ``event_lo``."""
    return {
        "id": string_hashes(frame["identity_key"]),
        "route": route_codes(frame["route"]),
        "occurred_at": frame["occurred_at"].to_numpy(),
        "record_time": frame["_record_time"].to_numpy(),
        "event_hi": frame["event_hi"].to_numpy(),
        "event_lo": frame["event_lo"].to_numpy(),
    }


def put_aliases(states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
    """Put aliases (`History.aliases`) among those that their partition remembers. One that is there twice counts once."""
    # A loop over groups: a partition and a kind each.
    for (number, kind), part in frame.group_by("_partition", "kind"):
        columns, visitors = alias_columns(part), part["visitor_id"].to_list()
        states[int(number)].aliases[str(kind)].add(columns, visitors)


def claims(leads: pl.DataFrame) -> list[Wish]:
    """Return the claims of identity keys in accepted ``leads``: who does not deny consent claims every key that is named."""
    found: list[Wish] = []
    for column, kind in KEYS.items():
        key = pl.concat_str(pl.lit(f"{kind} "), column)
        fits = (
            (pl.col(column) != "") & (pl.col("consent") != "denied") & (key.str.len_bytes() <= LONGEST_BYTES)
        )
        named = leads.filter(fits).with_columns(key=key)
        keyed = named.select("_record_time", "occurred_at", "key", "visitor_id", route=routes(named["key"]))
        found += [
            (time, "claim", at, route, visitor, text, "", "", *_NO_TOUCH)
            for time, at, text, visitor, route in keyed.iter_rows()
        ]
    return found


class Cause(NamedTuple):
    """When the record behind a link happened, and its record time (ms)."""

    occurred_at: int
    record_time: int


def pair(one: str, other: str, cause: Cause) -> Wish:
    """Return the link by which the larger of two visitors belongs to the smaller; an empty one tells of a key over the limit."""
    winner, visitor = sorted((one, other))
    return (
        cause.record_time,
        "pair",
        cause.occurred_at,
        route_of(visitor),
        visitor,
        "",
        winner,
        "",
        *_NO_TOUCH,
    )


def take_claims(states: Mapping[int, PartitionState], frame: pl.DataFrame) -> tuple[list[str], list[Wish]]:
    """Let the claims of ``frame`` count; return the verdict on each and the pairs that follow."""
    verdicts, wishes = [], []
    # A loop over rows: one lead each, and few.
    for number, key, visitor, *cause in frame.select(
        "_partition", "identity_key", "visitor_id", "occurred_at", "_record_time"
    ).iter_rows():
        other = states[number].links.claim(key, visitor, max(cause[1], states[number].newest))
        verdicts.append(OVER_LIMIT if other == "" else "")
        if other is not None:
            wishes.append(pair(visitor, other, Cause(*cause)))
    return verdicts, wishes


def take_pair(state: PartitionState, visitor: str, winner: str, cause: Cause) -> list[Wish]:
    """Let a visitor belong to a smaller one (to none: a key of its person is over the limit); return what is to be sent on.

    A visitor belongs to one other for ever. What else it is paired with is paired with that one.
    """
    links = state.links
    belongs = links.winner(hash_of(visitor))
    if not winner:
        is_new = visitor not in links.crowded
        links.crowd(visitor)
        return [pair(belongs, "", cause)] if belongs and is_new else []
    if belongs:
        return [pair(belongs, winner, cause)] if belongs != winner else []
    links.pair(visitor, winner)
    crowded = [pair(winner, "", cause)] if visitor in links.crowded else []
    rows = state.touches.of_visitor(hash_of(visitor))
    return [
        *crowded,
        *sent_on(
            state.touches,
            links,
            rows,
            np.full(len(rows), hash_of(visitor), dtype=np.uint64),
            visitor,
            cause.record_time,
        ),
    ]


def sent_on(
    touches: Touches,
    links: Links,
    rows: np.ndarray[Any, Any],
    visitors: np.ndarray[Any, Any],
    named: str,
    record_time: int,
) -> Iterator[Wish]:
    """Yield the links that bring the touches in ``rows``, of ``visitors`` (hashes), to those they belong to.

    ``named``: the visitor where all are of one.
    """
    moving = touches.moving(rows)
    texts = touches.interned.texts
    columns = (
        moving[name].tolist()
        for name in ("event_hi", "event_lo", "occurred_at", "kind", "bot", "origin", "record_time")
    )
    codes = (moving[name].tolist() for name in DIMENSIONS)
    # A loop over rows: the touches of few visitors.
    for visitor, high, low, at, kind, bot, origin, time, *dimensions in zip(
        visitors.tolist(), *columns, *codes, strict=True
    ):
        owner = named or links.text(visitor)
        winner = links.winner(hash_of(owner))
        whose = owner if origin == visitor else links.text(origin)
        touch = (_uuid(high, low), TOUCH_KINDS[kind], *(texts[code] for code in dimensions), bot)
        yield (max(time, record_time), "touch", at, route_of(winner), winner, "", "", whose, *touch)


def _uuid(high: int, low: int) -> str:
    digits = f"{high:016x}{low:016x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def restore_links(states: Mapping[int, PartitionState], frame: pl.DataFrame) -> None:
    """Put back who belongs to whom, from `History.links`, into states that know nothing of it."""
    hashed = frame.with_columns(
        pl.Series(f"{name}_hash", string_hashes(frame[name])) for name in ("visitor_id", "winner", "origin")
    )
    is_member, is_pair = pl.col("origin_hash") > 0, (pl.col("origin_hash") == 0) & (pl.col("winner_hash") > 0)
    one = {"one": "visitor_id", "one_hash": "visitor_id_hash"}
    for number, rows in rows_by_partition(hashed):
        links, part = states[number].links, hashed[rows]
        pairs = part.filter(is_pair).select(**one, other="winner", other_hash="winner_hash")
        members = part.filter(is_member).select(**one, other="origin", other_hash="origin_hash")
        links.fill(pairs, members)
        # Those of a key over the limit are few.
        for visitor in part.filter(~is_pair & ~is_member)["visitor_id"]:
            links.crowd(visitor)
