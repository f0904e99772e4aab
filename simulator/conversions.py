"""What partners report of a purchase: one status after another, some of it late, bare or in another order."""

import random
from collections.abc import Sequence

from simulator.blank import blank
from simulator.catalog import CURRENCIES, GOALS, PARTNERS, POSTBACK_AGENTS
from simulator.chance import between, pick, zipf_table
from simulator.journeys import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Draft, Maker, Purchase, Record
from simulator.mess import Mess

_SINGLE = ("approved", "approved", "pending")
_HISTORIES = (
    ("pending", "approved"),
    ("pending", "approved"),
    ("pending", "rejected"),
    ("approved", "reversed"),
    ("pending", "approved", "reversed"),
    ("pending", "rejected", "approved"),
)
_ILLEGAL = (
    ("reversed",),
    ("pending", "reversed"),
    ("rejected", "reversed"),
    ("approved", "rejected"),
    ("approved", "pending", "approved"),
    ("approved", "reversed", "approved"),
    ("pending", "approved", "reversed", "pending", "approved"),
)
"""What the rules flag; some of it is legal again at its end."""
_PARTNER_TABLE = zipf_table(PARTNERS)


def conversions(maker: Maker, purchase: Purchase) -> list[Draft]:
    """Return the reports of ``purchase``, in order of their statuses; may hold up the touch that they follow from."""
    chance, mess = maker.chance, maker.mess
    statuses = _statuses(chance, mess)
    first = _first(maker, purchase)
    drafts = [
        _report(maker, first, status, place, repeated=place > 0 and statuses[place - 1] == status)
        for place, status in enumerate(statuses)
    ]
    _set_times(maker, drafts, purchase.at)
    if len(drafts) > 1 and chance.random() < mess.shuffled:
        _shuffle_arrivals(chance, drafts)
    if chance.random() < mess.late:
        _delay_touch(chance, purchase, max(draft.arrival for draft in drafts))
    return drafts


def _statuses(chance: random.Random, mess: Mess) -> Sequence[str]:
    statuses = pick(chance, _HISTORIES) if chance.random() < mess.restated else (pick(chance, _SINGLE),)
    if mess.illegal and chance.random() < mess.illegal:
        statuses = pick(chance, _ILLEGAL)
    if mess.revalued and chance.random() < mess.revalued:
        place = chance.randrange(len(statuses))
        statuses = (*statuses[:place], statuses[place], *statuses[place:])
    return statuses


def _first(maker: Maker, purchase: Purchase) -> Record:
    """The purchase as its first report states it, but for status, times and event id."""
    chance, mess = maker.chance, maker.mess
    record = dict(blank("conversion"))
    partner = pick(chance, _PARTNER_TABLE)
    record |= {"partner": partner, "transaction_id": f"T-{maker.ids.token(14)}", "goal": pick(chance, GOALS)}
    record |= {"currency": CURRENCIES[partner], "occurred_at": purchase.at}
    record["value"] = 10_000 * (100 + int(chance.random() * 40_000)) + int(chance.random() * 3)
    record["payout"] = record["value"] * 7 // 100 if chance.random() < 0.8 else None
    record["user_agent"] = (
        purchase.visitor.user_agent if chance.random() < 0.3 else pick(chance, POSTBACK_AGENTS)
    )
    record["ip"] = purchase.visitor.ip if record["user_agent"] else ""
    if chance.random() < 0.5:
        record |= {name: purchase.click.record[name] for name in ("campaign", "affiliate", "offer")}
    if mess.skewed and chance.random() < mess.skewed:
        # Up to twice what the models that come with funnel tolerate.
        record["occurred_at"] = purchase.click.record["occurred_at"] - between(
            chance, SECOND_MS, 2 * MINUTE_MS
        )
    return record | _links(maker, purchase)


def _links(maker: Maker, purchase: Purchase) -> Record:
    """What leads from the conversion to its journey: click, lead, visitor, several of them, or nothing."""
    chance = maker.chance
    visitor_id = purchase.visitor.visitor_id
    if chance.random() < maker.mess.orphans:
        return {"visitor_id": visitor_id if chance.random() < 0.4 else ""}
    links = {"visitor_id": visitor_id if chance.random() < 0.3 else ""}
    if purchase.lead is None or chance.random() < 0.7:
        is_networks = purchase.click.record["external_id"] and chance.random() < maker.mess.networks
        links["click_id"] = purchase.click.record["external_id" if is_networks else "click_id"]
    if purchase.lead is not None and chance.random() < 0.6:
        links["lead_id"] = purchase.lead.record["lead_id"]
    return links


def _report(maker: Maker, first: Record, status: str, place: int, repeated: bool) -> Draft:
    chance = maker.chance
    record = {**first, "event_id": maker.ids.event_id(), "status": status}
    if place and chance.random() < maker.mess.bare:
        record |= dict.fromkeys(("click_id", "lead_id", "visitor_id", "campaign", "affiliate", "offer"), "")
        record |= {"value": None, "payout": None, "currency": ""}
    elif place and chance.random() < 0.2:
        record["value"] = first["value"] * 9 // 10
    if repeated and chance.random() < 0.8:
        # A partial refund, or more bought: the amounts as they are from now on.
        record["value"] = first["value"] * int(chance.random() * 13) // 10
        record["payout"] = record["value"] * 7 // 100 if chance.random() < 0.5 else None
        record["currency"] = first["currency"]
    return Draft("conversion", record, 0)


def _set_times(maker: Maker, drafts: Sequence[Draft], at: int) -> None:
    for place, draft in enumerate(drafts):
        # Never two at one moment: one status twice at one time would be a conflict.
        draft.record["status_at"] = min(at, maker.now) + place
        draft.arrival = at + int(maker.chance.random() * 20 * SECOND_MS)
        at += between(maker.chance, 10 * MINUTE_MS, 2 * DAY_MS)


def _shuffle_arrivals(chance: random.Random, drafts: Sequence[Draft]) -> None:
    arrivals = [draft.arrival for draft in drafts]
    chance.shuffle(arrivals)
    for draft, arrival in zip(drafts, arrivals, strict=True):
        draft.arrival = arrival


def _delay_touch(chance: random.Random, purchase: Purchase, after: int) -> None:
    touch = purchase.lead if purchase.lead is not None and chance.random() < 0.3 else purchase.click
    touch.arrival = after + between(chance, MINUTE_MS, 6 * HOUR_MS)
    touch.mess = "late"
