"""`funnel explain`: everything the journal knows of a click, lead, visitor, transaction or event, and why its credit is what it is.

Rows are found by route (a projection of the journal), except where nothing but an event's or a partner's id is known: then its kind is searched.
"""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from schemas.ids import journey_route, route_of, transaction_route
from sinks.clickhouse.client import Connection
from sinks.clickhouse.journal import TABLE
from sinks.clickhouse.sql import literal, literals

Row = dict[str, Any]
Transaction = tuple[str, str]
"""Partner and the partner's transaction id."""

_TOUCHES = ("impression", "click", "lead")
_EVENTS = (*_TOUCHES, "conversion")
_PLACE = (
    "toString(_source) AS source, _offset AS offset, _record_time AS record_time, _ingested_at AS known_at"
)
_IDS = "visitor_id, click_id, lead_id"
_TOUCH = (
    f"toString(j.kind) AS kind, toString(event_id) AS event_id, occurred_at, {_IDS}, toString(channel) AS channel, campaign, affiliate, offer, "
    f"country, device, bot, {_PLACE}"
)
_CONVERSION = f"toString(event_id) AS event_id, status, status_at, occurred_at, value, payout, currency, {_IDS}, campaign, affiliate, {_PLACE}"
_STATE = f"revision, status, occurred_at, value, payout, currency, goal, {_IDS}, campaign, affiliate, offer"
_REQUEST = f"toString(route) AS route, revision, moved, status, value, payout, {_IDS}, {_PLACE}"
_CREDIT = (
    "sign, model, model_version, toString(touch_id) AS touch_id, touch_kind, touch_at, weight, value, payout, status, campaign, affiliate, channel, "
    f"toString(route) AS route, {_PLACE}"
)


def explain(connection: Connection, identifier: str) -> Row:
    """Return what is known of ``identifier``: the touches that carry it, and all there is of each transaction it has to do with.

    Money in micros, weights in parts of 10^9, times as ClickHouse gives them.
    """
    rows = _Rows(connection)
    named = _named(rows, identifier)
    transactions = {(row["partner"], row["transaction_id"]) for row in named if row["kind"] == "conversion"}
    for touch in named:
        if touch["kind"] != "conversion":
            transactions |= _earned_with(rows, touch)
    rejects = (
        rows.of("rejects", "source, offset, record_time, reason, detail", f"event_id = {literal(identifier)}")
        if _is_uuid(identifier)
        else []
    )
    return {
        "id": identifier,
        "touches": [row for row in named if row["kind"] != "conversion"],
        "rejects": rejects,
        "transactions": [_transaction(rows, key) for key in sorted(transactions)],
    }


class _Rows:
    """Rows of the journal by name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, table: str, columns: str, where: str, order: str = "1") -> list[Row]:
        names, rows = self._connection.query_named(
            f"SELECT {columns} FROM {table} WHERE {where} ORDER BY {order}"
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def on(
        self, routes: Iterable[str], kinds: Sequence[str], columns: str, where: str, order: str
    ) -> list[Row]:
        """Return rows of ``kinds`` on ``routes``: the projection by route says where they are."""
        on = f"j.kind IN {literals(kinds)} AND route IN {literals(sorted(set(routes)))}"
        places = f"SELECT kind, _source, _offset FROM {TABLE} AS j WHERE {on}"
        return self.of(
            f"{TABLE} AS j",
            columns,
            f"{on} AND (j.kind, _source, _offset) IN ({places}) AND ({where})",
            order,
        )


def _named(rows: _Rows, identifier: str) -> list[Row]:
    columns = f"{_TOUCH}, partner, transaction_id"
    if _is_uuid(identifier):
        where = f"j.kind IN {literals(_EVENTS)} AND event_id = {literal(identifier)}"
        return rows.of(f"{TABLE} AS j", columns, where, "occurred_at")
    own = " OR ".join(f"{name} = {literal(identifier)}" for name in _IDS.split(", "))
    touches = rows.on([route_of(identifier)], _TOUCHES, columns, own, "occurred_at, event_id")
    conversions = f"j.kind = 'conversion' AND transaction_id = {literal(identifier)}"
    return touches + rows.of(f"{TABLE} AS j", columns, conversions, "occurred_at")


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _earned_with(rows: _Rows, touch: Mapping[str, Any]) -> set[Transaction]:
    """Return the transactions that name the touch, or that it has ever earned a share of."""
    ids = [f"{name} = {literal(touch[name])}" for name in _IDS.split(", ") if touch[name]]
    where = f"j.kind = 'request' AND ({' OR '.join(ids)}) OR j.kind = 'credit' AND touch_id = {literal(touch['event_id'])}"
    found = rows.on(
        [route_of(touch["visitor_id"])], ("request", "credit"), "DISTINCT partner, transaction_id", where, "1"
    )
    return {(row["partner"], row["transaction_id"]) for row in found}


def _transaction(rows: _Rows, key: Transaction) -> Row:
    ours = f"partner = {literal(key[0])} AND transaction_id = {literal(key[1])}"
    home = [transaction_route(*key)]
    conversions = rows.on(home, ("conversion",), _CONVERSION, ours, "status_at, event_id")
    states = rows.on(home, ("count",), _STATE, f"{ours} AND sign = 1", "revision")
    routes = {journey_route(*key, *(state[name] for name in _IDS.split(", "))) for state in states} or set(
        home
    )
    ledger = rows.on(routes, ("credit",), _CREDIT, ours, "known_at, model, model_version, sign, touch_at")
    last = states[-1] if states else None
    identity, journey = _journey(rows, key, last) if last else ({}, [])
    return {
        "partner": key[0],
        "transaction_id": key[1],
        "state": last,
        "conversions": conversions,
        "requests": rows.on(routes, ("request",), _REQUEST, ours, "revision, known_at"),
        "identity": identity,
        "journey": journey,
        "credits": _in_force(rows, ledger),
        "ledger": ledger,
    }


def _journey(rows: _Rows, key: Transaction, state: Row) -> tuple[Row, list[Row]]:
    """Return which id led to which visitor (docs/rules.md, section 7), and that visitor's touches."""
    route = journey_route(*key, *(state[name] for name in _IDS.split(", ")))
    visitor, by = state["visitor_id"], "visitor_id" if state["visitor_id"] else "nothing"
    for kind in ("lead", "click"):
        name = f"{kind}_id"
        if state[name]:
            found = rows.on(
                [route], (kind,), _TOUCH, f"{name} = {literal(state[name])}", "occurred_at, event_id"
            )
            found = [touch for touch in found if touch["occurred_at"] <= state["occurred_at"]]
            visitor, by = (found[0]["visitor_id"], name) if found else (visitor, by)
    of = f"visitor_id = {literal(visitor)}" if visitor else "0"
    touches = rows.on([route], _TOUCHES, _TOUCH, of, "occurred_at, event_id")
    return {"route": route, "visitor_id": visitor, "by": by}, touches


def _in_force(rows: _Rows, ledger: Sequence[Row]) -> list[Row]:
    """Return per model and version its settings and the credits that the ledger adds up to."""
    registered = rows.of(
        "attribution_models", "model, model_version, purpose, any(settings) AS settings", "1 GROUP BY ALL"
    )
    settings = {(row["model"], row["model_version"]): row for row in registered}
    sums: dict[tuple[str, int], dict[str, Row]] = {}
    for row in ledger:
        shares = sums.setdefault((row["model"], row["model_version"]), {})
        share = shares.setdefault(
            row["touch_id"], {"touch_id": row["touch_id"], "weight": 0, "value": 0, "payout": 0}
        )
        share |= {name: row[name] for name in ("touch_kind", "touch_at", "campaign", "affiliate", "channel")}
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
