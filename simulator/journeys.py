"""Journeys: what one visitor does between the first impression and the last conversion."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.ids import route_of
from simulator.addresses import Addresses
from simulator.blank import blank
from simulator.catalog import BOTS, FORMS, Visit, user_agents, visits
from simulator.chance import between, pick, zipf_table
from simulator.identities import Identities
from simulator.mess import Mess

SECOND_MS = 1000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

# These make the mix: 70 % impressions, 22 % clicks, 5 % leads, 3 % conversions.
_COMES_AGAIN = 0.55
_SEES_ANOTHER = 0.6
_CLICKS = 0.785
_LEADS = 0.225
_BUYS_AFTER_LEAD = 0.22
_BUYS_AFTER_CLICK = 0.032

_VISITS = zipf_table(visits())
_AGENTS = zipf_table(user_agents(), 0.9)
Record = dict[str, Any]
UNFILLED = "undefined"
"""What scripts send that have no id."""


@dataclass(slots=True)
class Draft:
    """An event that arrives at ``arrival`` (ms UTC), if nothing holds it up. ``mess`` names what is wrong with it."""

    kind: str
    record: Record
    arrival: int
    mess: str = ""
    has_twin: bool = False


class Maker(NamedTuple):
    """What journeys are made of: draws, ids, the mess, the days they may fill (ms UTC), and addresses."""

    chance: random.Random
    ids: Identities
    mess: Mess
    since: int
    now: int
    addresses: Addresses


class Visitor(NamedTuple):
    """Who it is and from where."""

    visitor_id: str
    route: str
    user_agent: str
    ip: str
    is_foreign: bool


class Purchase(NamedTuple):
    """A conversion to be reported, and the events that led to it."""

    visitor: Visitor
    at: int
    click: Draft
    lead: Draft | None


def touches(maker: Maker) -> Iterator[Draft | Purchase]:
    """Yield the touches of a new visitor, and a purchase behind the touches it follows from."""
    visitor = _visitor(maker)
    at = maker.since + int(maker.chance.random() * (maker.now - maker.since))
    while at < maker.now:
        yield from _visit(maker, visitor, pick(maker.chance, _VISITS), at)
        if maker.chance.random() >= _COMES_AGAIN:
            return
        at += between(maker.chance, 2 * MINUTE_MS, 2 * DAY_MS)


def _visitor(maker: Maker) -> Visitor:
    chance, mess = maker.chance, maker.mess
    is_foreign = chance.random() < mess.foreign
    visitor_id = maker.ids.foreign() if is_foreign else maker.ids.mint()
    agents = BOTS if chance.random() < mess.bots else _AGENTS
    ip = f"{10 + int(chance.random() * 200)}.{int(chance.random() * 256)}.{int(chance.random() * 256)}.0"
    return Visitor(visitor_id, route_of(visitor_id), pick(chance, agents), ip, is_foreign)


def _visit(maker: Maker, visitor: Visitor, visit: Visit, at: int) -> Iterator[Draft | Purchase]:
    chance = maker.chance
    while True:
        yield _touch(maker, "impression", visitor, visit, visit.landing, at)
        at += between(chance, 2 * SECOND_MS, 5 * MINUTE_MS)
        if at > maker.now:
            return
        if chance.random() >= _SEES_ANOTHER:
            break
    if chance.random() < _CLICKS:
        yield from _click(maker, visitor, visit, at)


def _click(maker: Maker, visitor: Visitor, visit: Visit, at: int) -> Iterator[Draft | Purchase]:
    chance = maker.chance
    click = _touch(maker, "click", visitor, visit, visit.landing, at)
    record = click.record
    record["click_id"] = _click_id(maker, visitor)
    if visit.click_parameter:
        external = UNFILLED if chance.random() < maker.mess.unfilled else maker.ids.token(20)
        record["external_id"] = external
        record["landing_url"] = f"{visit.landing}?{visit.click_parameter}={external}"
    yield click
    lead = None
    if chance.random() < _LEADS:
        at += between(chance, 20 * SECOND_MS, HOUR_MS)
        if at > maker.now:
            return
        lead = _lead(maker, visitor, visit, record, at)
        yield lead
    if chance.random() < (_BUYS_AFTER_LEAD if lead else _BUYS_AFTER_CLICK):
        at += between(chance, 3 * MINUTE_MS, DAY_MS)
        if at <= maker.now:
            yield Purchase(visitor, at, click, lead)


def _click_id(maker: Maker, visitor: Visitor) -> str:
    if visitor.is_foreign and maker.chance.random() < 0.5:
        return maker.ids.foreign()
    return maker.ids.mint(visitor.route)


def _lead(maker: Maker, visitor: Visitor, visit: Visit, click: Record, at: int) -> Draft:
    lead = _touch(maker, "lead", visitor, visit, visit.landing, at)
    is_foreign = maker.chance.random() < maker.mess.foreign
    lead.record["lead_id"] = maker.ids.foreign() if is_foreign else maker.ids.mint(visitor.route)
    lead.record["click_id"] = click["click_id"]
    lead.record["form"] = pick(maker.chance, FORMS)
    fresh = maker.ids.event_id().replace("-", "") * 2
    lead.record["email_hash"] = maker.addresses.email(fresh)
    lead.record["phone_hash"] = maker.addresses.phone(fresh[::-1])
    if maker.chance.random() < 0.4:
        lead.record["value"] = 500_000 * (1 + int(maker.chance.random() * 40))
        lead.record["currency"] = "EUR"
    return lead


def _touch(maker: Maker, kind: str, visitor: Visitor, visit: Visit, landing: str, at: int) -> Draft:
    record = {**blank(kind), **visit.fields}
    record["ip"] = visitor.ip
    record["user_agent"] = visitor.user_agent
    record["event_id"] = maker.ids.event_id()
    record["occurred_at"] = at
    record["visitor_id"] = visitor.visitor_id
    record["landing_url"] = landing
    return Draft(kind, record, at + int(maker.chance.random() * 2 * SECOND_MS))
