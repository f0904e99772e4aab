"""Everything the journal knows of a click, lead, visitor, transaction or event, and why its credit is what it is.

Rows are found by route (a projection of the journal), except where nothing but an event's or a partner's id is known: a filter of the journal
says where those may be. Each question asks for all transactions at once.
"""

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from schemas.ids import journey_route, route_of, transaction_route
from sinks.clickhouse.client import Connection
from sinks.clickhouse.identity import LINK, LINKS, Journey, Links, journey_of
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.journal_rows import JournalRows, Row, Where, known, picked
from sinks.clickhouse.sql import literal, literals

Transaction = tuple[str, str]
"""Partner and the partner's transaction id."""

WINDOW_SECONDS = 86_400
"""How long after an event another record of its id is a duplicate or conflict (docs/rules.md, section 4)."""
MOST_TRANSACTIONS = 50
"""Of one answer: a visitor may have more, and none needs all of them explained at once."""
_TOUCHES = ("impression", "click", "lead")
_EVENTS = (*_TOUCHES, "conversion")
_NAMES = ("visitor_id", "click_id", "lead_id")
PERSON_LIMIT = 20
_PLACE = ("source", "offset", "record_time", "known_at")
_TOUCH = (
    *(
        "kind",
        "event_id",
        "occurred_at",
        *_NAMES,
        "external_id",
        "channel",
        "campaign",
        "affiliate",
        "offer",
        "country",
        "device",
    ),
    *("bot", *_PLACE),
)
_CONVERSION = (
    *("event_id", "status", "status_at", "occurred_at", "value", "payout", "currency", *_NAMES, "campaign"),
    *("affiliate", *_PLACE),
)
_STATE = (
    *("revision", "status", "occurred_at", "value", "payout", "currency", "goal", *_NAMES, "campaign"),
    *("affiliate", "offer", "approved_at", "flag"),
)
_REQUEST = (
    "route",
    "person",
    "origin",
    "revision",
    "step",
    "moved",
    "status",
    "value",
    "payout",
    *_NAMES,
    *_PLACE,
)
_CREDIT = (
    *(
        "sign",
        "model",
        "model_version",
        "touch_id",
        "touch_kind",
        "touch_at",
        "weight",
        "value",
        "payout",
        "status",
    ),
    *("campaign", "affiliate", "channel", "route", "person", *_PLACE),
)
_REJECT = ("source", "offset", "record_time", "reason", "detail")
_KEY = ("partner", "transaction_id")
_COLUMNS = {
    **dict.fromkeys(_TOUCHES, _TOUCH),
    "conversion": (*_CONVERSION, *_KEY),
    "count": (*_STATE, *_KEY, "sign"),
    "request": (*_REQUEST, *_KEY),
    "credit": (*_CREDIT, *_KEY),
    "reject": _REJECT,
    "link": (*LINK, "touch_id"),
}


def explain(connection: Connection, identifier: str, person_limit: int = PERSON_LIMIT) -> Row:
    """Return what is known of ``identifier``: the touches that carry it, and all there is of each transaction it has to do with.

    ``person_limit``: visitors that one person may have.
    Money in micros, weights in parts of 10^9, times as ClickHouse gives them. Raises ClickHouseError.
    """
    rows = JournalRows(connection, _COLUMNS)
    links = Links(rows, person_limit)
    named = _named(rows, links, identifier)
    touches = [row for row in named if row["kind"] in _TOUCHES]
    rejects = [row for row in named if row["kind"] == "reject"]
    found = {_key(row) for row in named if row["kind"] == "conversion"} | _earned_with(rows, links, touches)
    keys = sorted(found)[:MOST_TRANSACTIONS]
    transactions = _transactions(rows, links, keys, known(touches, "visitor_id"))
    reports = [row for one in transactions for row in one["conversions"]]
    return {
        "id": identifier,
        "touches": [picked(row, _TOUCH) for row in touches],
        "rejects": [picked(row, _REJECT) for row in rejects],
        "deduplication": _deduplication(rows, [*touches, *reports]),
        "transactions": transactions,
        "transactions_left_out": len(found) - len(keys),
    }


def is_empty(found: Mapping[str, Any]) -> bool:
    """Return whether nothing is known of the id."""
    return not (found["touches"] or found["transactions"] or found["rejects"])


def _key(row: Mapping[str, Any]) -> Transaction:
    return row["partner"], row["transaction_id"]


def _named(rows: JournalRows, links: Links, identifier: str) -> list[Row]:
    if _is_uuid(identifier):
        return rows.of((*_EVENTS, "reject"), [{"event_id": [identifier.lower()]}])
    own = [{"kind": _TOUCHES, name: [identifier]} for name in _NAMES]
    routes = {route_of(identifier)}
    there = rows.on(routes, (*_TOUCHES, "link"), [LINKS, *own])
    links.adopt(routes, (row for row in there if row["kind"] == "link"))
    touches = {row["event_id"]: row for row in there if row["kind"] != "link"}
    if aliases := links.aliases_of(identifier):
        led = {route_of(row["visitor_id"]) for row in aliases}
        carrying = rows.on(led, _TOUCHES, [{"event_id": known(aliases, "touch_id")}])
        touches |= {row["event_id"]: row for row in carrying}
    return [*touches.values(), *rows.of(("conversion",), [{"transaction_id": [identifier]}])]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _earned_with(rows: JournalRows, links: Links, touches: Sequence[Row]) -> set[Transaction]:
    """Return the transactions that name a touch, or that one has ever earned a share of."""
    if not touches:
        return set()
    where = [
        {"kind": ["credit"], "touch_id": known(touches, "event_id")},
        *({"kind": ["request"], name: known(touches, name)} for name in _NAMES),
    ]
    visitors = links.follow((), known(touches, "visitor_id"))
    carried = {name for row in touches for name in _carried(row)}
    where.append({"kind": ["request"], "click_id": sorted(carried)})
    routes = {route_of(one) for one in visitors | carried}
    return {_key(row) for row in rows.on(routes, ("request", "credit"), where)}


def _carried(touch: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids of a touch that are looked for on other routes than its visitor's."""
    own = touch.get(f"{touch['kind']}_id", "")
    if own and route_of(own) != route_of(touch["visitor_id"]):
        yield own
    if touch["external_id"]:
        yield touch["external_id"]


def _transactions(
    rows: JournalRows, links: Links, keys: Sequence[Transaction], seen: Sequence[str]
) -> list[Row]:
    """``seen``: visitors of whom it is known that they have to do with it."""
    if not keys:
        return []
    wanted: Where = [{"partner": [partner], "transaction_id": [transaction]} for partner, transaction in keys]
    homes = {transaction_route(*key) for key in keys}
    kinds: Where = [{"kind": ["conversion"]}, {"kind": ["count"], "sign": [1]}]
    now = [{**one, **kind} for one in wanted for kind in kinds]
    told = rows.on(homes, ("conversion", "count"), now)
    states = sorted((row for row in told if row["kind"] == "count"), key=lambda row: row["revision"])
    last = {_key(row): row for row in states}
    touches = _touches(rows, last.values(), seen)
    named = {row[name] for row in states for name in ("click_id", "lead_id")}
    visitors = {*known(touches, "visitor_id"), *known(states, "visitor_id")}
    reached = links.follow(named, visitors)
    if others := reached - visitors:
        routes = {route_of(one) for one in others}
        touches += rows.on(routes, _TOUCHES, [{"visitor_id": others}])
    touches.sort(key=lambda row: (row["occurred_at"], row["event_id"]))
    routes = {_route(row) for row in states} | {route_of(one) for one in reached}
    caused = rows.on(routes or homes, ("request", "credit"), wanted)
    settings = _settings(rows) if caused else {}
    journeys = {key: journey_of(state, _route(state), touches, links) for key, state in last.items()}
    return [
        _transaction(key, told, caused, (last.get(key), journeys.get(key)), touches, settings) for key in keys
    ]


def _transaction(
    key: Transaction,
    told: Sequence[Row],
    caused: Sequence[Row],
    now: tuple[Row | None, Journey | None],
    touches: Sequence[Row],
    settings: Mapping[tuple[str, int], Row],
) -> Row:
    own = [row for row in (*told, *caused) if _key(row) == key]
    of = {kind: [row for row in own if row["kind"] == kind] for kind in ("conversion", "request", "credit")}
    last, journey = now
    visitors = journey.visitors if journey else set()
    order = ("known_at", "model", "model_version", "sign", "touch_at")
    ledger = sorted(of["credit"], key=lambda row: tuple(row[name] for name in order))
    return {
        "partner": key[0],
        "transaction_id": key[1],
        "state": picked(last, _STATE) if last else None,
        "conversions": _ordered(of["conversion"], _CONVERSION, "status_at", "event_id"),
        "requests": _ordered(of["request"], _REQUEST, "revision", "known_at"),
        "identity": journey.identity if journey else {},
        "journey": [picked(row, _TOUCH) for row in touches if row["visitor_id"] in visitors],
        "credits": _in_force(ledger, settings),
        "ledger": [picked(row, _CREDIT) for row in ledger],
    }


def _ordered(rows: Iterable[Row], names: Sequence[str], *by: str) -> list[Row]:
    return [picked(row, names) for row in sorted(rows, key=lambda row: tuple(row[name] for name in by))]


def _route(state: Mapping[str, Any]) -> str:
    """Where the journey is looked for."""
    return journey_route(*_key(state), state["click_id"], state["lead_id"], state["visitor_id"])


def _touches(rows: JournalRows, states: Iterable[Row], visitors: Iterable[str]) -> list[Row]:
    """Return the touches that the transactions' ids name, and all of ``visitors`` on their routes and of those who had a touch that is named."""
    states = list(states)
    ids = [{name: values} for name in _NAMES if (values := known(states, name))]
    if not ids:
        return []
    routes = {_route(state) for state in states}
    asked = {*visitors, *known(states, "visitor_id")}
    touches = rows.on(routes, _TOUCHES, [*ids, {"visitor_id": asked}])
    if others := {*known(touches, "visitor_id")} - asked:
        all_of_them = rows.on(routes, _TOUCHES, [{"visitor_id": others}])
        touches = [*({_place(row): row for row in (*touches, *all_of_them)}.values())]
    return touches


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["kind"], row["source"], row["offset"]


def _deduplication(rows: JournalRows, events: Sequence[Row]) -> list[Row]:
    """Return per event which record was kept, which of the same id were kept aside as conflicts, and how many may have been dropped.

    A duplicate leaves no row: its flush counts it. Their sum over the flushes in which one could have been is the most there are.
    """
    kept = {row["event_id"]: row for row in events[:MOST_TRANSACTIONS]}
    if not kept:
        return []
    conflicts = rows.of(("reject",), [{"reason": ["conflict"], "event_id": list(kept)}])
    most = {row["event_id"]: row["most"] for row in rows.named(_duplicates(list(kept.values())))}
    return [
        {
            "event_id": event,
            "kept": picked(row, _PLACE),
            "conflicts": [picked(one, _REJECT) for one in conflicts if one["event_id"] == event],
            "duplicates_at_most": most.get(event, 0),
        }
        for event, row in kept.items()
    ]


def _duplicates(events: Sequence[Row]) -> str:
    """Return the question for the duplicates in flushes from an event's own to the one in which its window ends."""
    sources = literals(known(events, "source"))
    first = min(row["offset"] for row in events)
    asked = ", ".join(
        f"({literal(row['event_id'])}, {literal(row['source'])}, {row['offset']}, {row['record_time'].timestamp() + WINDOW_SECONDS:.3f})"
        for row in events
    )
    return (
        "SELECT e.1 AS event_id, sum(duplicates) AS most FROM (SELECT toString(j._source) AS source, j._offset AS last, j.duplicates AS duplicates, "
        "toUnixTimestamp64Milli(lagInFrame(j._record_time) OVER (PARTITION BY j._source ORDER BY j._offset "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)) / 1000 AS before "
        f"FROM {TABLE} AS j WHERE j.kind = 'flush' AND j._source IN {sources} AND j._offset >= {first}) "
        f"ARRAY JOIN [{asked}] AS e WHERE source = e.2 AND last >= e.3 AND before <= e.4 GROUP BY event_id"
    )


def _settings(rows: JournalRows) -> dict[tuple[str, int], Row]:
    sql = (
        "SELECT model, model_version, purpose, any(settings) AS settings FROM attribution_models GROUP BY ALL"
    )
    return {(row["model"], row["model_version"]): row for row in rows.named(sql)}


def _in_force(ledger: Sequence[Row], settings: Mapping[tuple[str, int], Row]) -> list[Row]:
    """Return per model and version its settings and the credits that the ledger adds up to."""
    sums: dict[tuple[str, int], dict[str, Row]] = {}
    for row in ledger:
        shares = sums.setdefault((row["model"], row["model_version"]), {})
        share = shares.setdefault(
            row["touch_id"], {"touch_id": row["touch_id"], "weight": 0, "value": 0, "payout": 0}
        )
        share |= picked(row, ("touch_kind", "touch_at", "campaign", "affiliate", "channel"))
        for name in ("weight", "value", "payout"):
            share[name] += row["sign"] * row[name]
    return [
        {
            "model": name,
            "model_version": version,
            "purpose": settings.get((name, version), {}).get("purpose", ""),
            "settings": json.loads(settings.get((name, version), {}).get("settings", "{}")),
            "credits": [share for share in shares.values() if share["weight"]],
        }
        for (name, version), shares in sums.items()
    ]
