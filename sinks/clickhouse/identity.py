"""Who a transaction's journey belongs to: ids that lead to other routes, and visitors that are one person (docs/rules.md, sections 7 and 8)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from schemas.attribution import NAMED_LATE_MS
from schemas.ids import route_of
from sinks.clickhouse.journal_rows import JournalRows, Row, known, picked
from sinks.clickhouse.sql import literals

LINK = (
    "purpose",
    "visitor_id",
    "winner",
    "identity_key",
    "origin",
    "touch_kind",
    "source",
    "offset",
    "known_at",
)
MOST_STEPS = 8
"""Visitors that a journey is passed on to, one after the other; more than two are rare."""
_NAMED = timedelta(milliseconds=NAMED_LATE_MS)


class Links:
    """The links that lead on from the ids and visitors that transactions name, and the touches that went to the persons they end with."""

    def __init__(self, rows: JournalRows, ids: Iterable[str], visitors: Iterable[str], limit: int) -> None:
        self._limit = limit
        self._aliases: list[Row] = []
        self._pairs: list[Row] = []
        self._members: list[Row] = []
        self.visitors = set(visitors)
        ids, news = sorted(set(ids) - {""}), set(self.visitors)
        for _ in range(MOST_STEPS):
            if not (ids or news):
                break
            pairs = (
                f"j.purpose = 'pair' AND j.winner != '' AND j.visitor_id IN {literals(sorted(news) or [''])}"
            )
            aliases = f"j.purpose = 'alias' AND j.identity_key IN {literals(ids or [''])}"
            found = rows.on({route_of(one) for one in (*ids, *news)}, ("link",), f"{pairs} OR {aliases}")
            self._aliases += [row for row in found if row["purpose"] == "alias"]
            self._pairs += [row for row in found if row["purpose"] == "pair"]
            ids, news = [], {row["winner"] or row["visitor_id"] for row in found} - self.visitors
            self.visitors |= news
        if self.visitors:
            routes = {route_of(one) for one in self.visitors}
            joined = f"j.purpose = 'touch' AND j.visitor_id IN {literals(sorted(self.visitors))}"
            self._members = rows.on(routes, ("link",), joined)
            self.visitors |= set(known(self._members, "origin"))

    def led_by(self, kind: str, identifier: str, until: Any) -> Row | None:
        """Return the earliest alias by which an id of a click or lead leads to a visitor at ``until``, None if there is none or too many carry it."""
        carried = [
            row
            for row in self._aliases
            if row["touch_kind"] == kind and row["identity_key"] == identifier != ""
        ]
        if len({row["visitor_id"] for row in carried}) > self._limit:
            return None
        in_time = [row for row in carried if row["occurred_at"] <= until + _NAMED]
        return min(in_time, key=lambda row: (row["occurred_at"], row["touch_id"]), default=None)

    def person_of(self, visitor: str) -> tuple[str, set[str], list[Row]]:
        """Return whom a visitor's journeys are credited with, all visitors of that person, and the links that say so."""
        person, said = visitor, []
        for _ in range(MOST_STEPS):
            # A visitor takes its first pair for ever.
            pair = min(
                (row for row in self._pairs if row["visitor_id"] == person),
                key=lambda row: (row["known_at"], row["offset"]),
                default=None,
            )
            if pair is None:
                break
            said.append(picked(pair, LINK))
            person = pair["winner"]
        members = {row["origin"] for row in self._members if row["visitor_id"] == person} | {person, visitor}
        if len(members) > self._limit:
            return visitor, {visitor}, said
        return person, members, said


class Journey(NamedTuple):
    """Who it is, by which id, what says so, and the visitors whose touches it has."""

    identity: Row
    visitors: set[str]


def journey_of(state: Mapping[str, Any], route: str, touches: Sequence[Row], links: Links) -> Journey:
    """Return which id of a transaction's ``state`` led to which visitor, and to which person that belongs."""
    visitor, by = state["visitor_id"], "visitor_id" if state["visitor_id"] else "nothing"
    said: list[Row] = []
    for kind in ("lead", "click"):
        name = f"{kind}_id"
        own = next(
            (
                row
                for row in touches
                if row["kind"] == kind
                and row[name] == state[name] != ""
                and route_of(row["visitor_id"]) == route
                and row["occurred_at"] <= state["occurred_at"] + _NAMED
            ),
            None,
        )
        alias = links.led_by(kind, state[name], state["occurred_at"])
        if alias is not None and (
            own is None or (alias["occurred_at"], alias["touch_id"]) < (own["occurred_at"], own["event_id"])
        ):
            visitor, by, said = alias["visitor_id"], name, [picked(alias, LINK)]
        elif own is not None:
            visitor, by, said = own["visitor_id"], name, []
    person, members, pairs = links.person_of(visitor) if visitor else ("", set(), [])
    identity = {"route": route, "visitor_id": visitor, "by": by, "person": person, "links": said + pairs}
    return Journey(identity, members)
