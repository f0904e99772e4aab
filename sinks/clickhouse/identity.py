"""Who a transaction's journey belongs to: ids that lead to other routes, and visitors that are one person (docs/rules.md, sections 7 and 8)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from schemas.attribution import NAMED_LATE_MS
from schemas.ids import route_of
from sinks.clickhouse.journal_rows import JournalRows, Row, picked

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
LINKS = {"kind": ["link"], "purpose": ["pair", "alias", "touch"]}
"""All but the claims, which say nothing that pairs don't."""
MOST_STEPS = 8
"""Visitors that a journey is passed on to, one after the other; more than two are rare."""
_NAMED = timedelta(milliseconds=NAMED_LATE_MS)


class Links:
    """Where ids and visitors lead to, as far as `follow` has been asked. It reads the links of each route once, and all of them: a route has few."""

    def __init__(self, rows: JournalRows, limit: int) -> None:
        self._rows = rows
        self._limit = limit
        self._routes: set[str] = set()
        self._aliases: list[Row] = []
        self._pairs: list[Row] = []
        self._members: list[Row] = []

    def adopt(self, routes: Iterable[str], found: Iterable[Row]) -> None:
        """Take the links of ``routes``, which have been read already."""
        self._routes |= set(routes)
        for row in found:
            if row["purpose"] == "alias":
                self._aliases.append(row)
            elif row["purpose"] == "pair" and row["winner"]:
                self._pairs.append(row)
            elif row["purpose"] == "touch":
                self._members.append(row)

    def follow(self, ids: Iterable[str], visitors: Iterable[str]) -> set[str]:
        """Return ``visitors``, those that they and ``ids`` lead to, and those whose touches went to any of these."""
        reached = set(visitors)
        ids, news = set(ids) - {""}, set(reached)
        for _ in range(MOST_STEPS):
            if not (ids or news):
                break
            if routes := {route_of(one) for one in ids | news} - self._routes:
                self.adopt(routes, self._rows.on(routes, ("link",), [LINKS]))
            led = {row["visitor_id"] for row in self._aliases if row["identity_key"] in ids}
            led |= {row["winner"] for row in self._pairs if row["visitor_id"] in news}
            ids, news = set(), led - reached
            reached |= news
        return reached | {row["origin"] for row in self._members if row["visitor_id"] in reached} - {""}

    def aliases_of(self, identifier: str) -> list[Row]:
        """Return the links by which an id leads to visitors of other routes."""
        return [row for row in self._aliases if row["identity_key"] == identifier]

    def led_by(self, kind: str, identifier: str, until: Any) -> Row | None:
        """Return the earliest alias by which an id of a click or lead leads to a visitor at ``until``, None if there is none or too many carry it."""
        carried = [row for row in self.aliases_of(identifier) if identifier and row["touch_kind"] == kind]
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
