"""Traffic out of a seed: journeys interleaved in the order they would arrive, with the mess that was asked for."""

import random
import secrets
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from schemas.encoding import encode
from schemas.topics import TOPIC_OF_KIND
from simulator.addresses import Addresses
from simulator.chance import between, pick
from simulator.conversions import conversions
from simulator.identities import Identities
from simulator.items import Direct, Item
from simulator.journeys import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Draft, Maker, Purchase, touches
from simulator.malformed import Malformed, spoiled, violations
from simulator.mess import Mess

CHUNK = 40_000
_SENDING_MS = 5 * MINUTE_MS
_FEW = 50


def generate(
    seed: int, events: int, now_ms: int, mess: Mess, *, run: str | None = None, span_ms: int = 3 * DAY_MS
) -> Iterator[Item]:
    """Yield ``events`` items in order of arrival.

    ``seed`` decides on all but the ids; those follow from ``seed`` and ``run``, by default entropy, so that no two runs share one.
    Events occur in the ``span_ms`` before ``now_ms``; record times rise through the last five minutes of it. Every 40,000 items
    are a period of their own: no journey, duplicate or delay reaches beyond it, so memory is bounded.
    """
    run = secrets.token_hex(16) if run is None else run
    maker = Maker(
        random.Random(f"content {seed}"),
        Identities(f"{seed} {run}"),
        mess,
        now_ms - span_ms,
        now_ms,
        Addresses(f"{seed}", mess),
    )
    kinds = cycle(violations(now_ms))
    done = 0
    while done < events:
        count = min(CHUNK, events - done)
        drafts = _period(maker, kinds, count)
        for place, draft in enumerate(drafts, done):
            yield _item(maker, draft, now_ms - _SENDING_MS + _SENDING_MS * place // events)
        done += count


def _period(maker: Maker, kinds: Iterator[Malformed], count: int) -> Sequence[Draft | Malformed]:
    """Return ``count`` drafts in order of arrival, malformed ones among them."""
    mess = maker.mess
    rates = (mess.duplicates, mess.conflicts, mess.malformed)
    duplicates, conflicts, malformed = (_share(rate, count) for rate in rates)
    drafts = list(islice(_drafts(maker), count - duplicates - conflicts - malformed))
    for draft in _some(maker, drafts, mess.disorder):
        draft.arrival += between(maker.chance, 5 * MINUTE_MS, 12 * HOUR_MS)
        draft.mess = draft.mess or "disorder"
    for draft in _some(maker, drafts, mess.misrouted):
        draft.mess = "misrouted"
    originals = [pick(maker.chance, drafts) for _ in range(duplicates + conflicts)]
    drafts += [_duplicate(maker, original) for original in originals[:duplicates]]
    drafts += [_conflict(maker, original) for original in originals[duplicates:]]
    arrivals: list[tuple[int, int, Draft | Malformed]] = [(draft.arrival, 0, draft) for draft in drafts]
    arrivals += [(pick(maker.chance, drafts).arrival, 1, kind) for kind in islice(kinds, malformed)]
    return [draft for _, _, draft in sorted(arrivals, key=lambda arrival: arrival[:2])]


def _share(rate: float, count: int) -> int:
    """How many of ``count`` items: at least one of a kind that is wanted, where there are more than a few."""
    return max(round(rate * count), int(rate > 0 and count >= _FEW))


def _some(maker: Maker, drafts: Sequence[Draft], rate: float) -> Iterator[Draft]:
    return (pick(maker.chance, drafts) for _ in range(_share(rate, len(drafts))))


def _drafts(maker: Maker) -> Iterator[Draft]:
    while True:
        for made in touches(maker):
            if isinstance(made, Purchase):
                yield from conversions(maker, made)
            else:
                yield made


def _duplicate(maker: Maker, original: Draft) -> Draft:
    """The same event, sent again: after a while, sometimes by another machine or with its id in other letters."""
    record = dict(original.record)
    if maker.chance.random() < 0.2:
        record["event_id"] = record["event_id"].upper()
    elif original.kind == "conversion" and maker.chance.random() < 0.4:
        record["event_id"] = maker.ids.event_id()
    if maker.chance.random() < 0.2:
        record |= {"ip": "198.51.100.0", "user_agent": "northnet-postback/2.1"}
    original.has_twin = True
    return Draft(
        original.kind,
        record,
        original.arrival + between(maker.chance, SECOND_MS, 12 * HOUR_MS),
        "duplicate",
        True,
    )


def _conflict(maker: Maker, original: Draft) -> Draft:
    """The same identity with another content."""
    record = dict(original.record)
    if original.kind == "conversion":
        record["value"] = (record["value"] or 0) + 1_000_000
        record["currency"] = record["currency"] or "EUR"
    else:
        record["campaign"] = "c-other"
    original.has_twin = True
    return Draft(
        original.kind, record, original.arrival + between(maker.chance, SECOND_MS, HOUR_MS), "conflict", True
    )


def _item(maker: Maker, draft: Draft | Malformed, time: int) -> Item:
    if isinstance(draft, Malformed):
        direct = Direct(maker.ids.token(4).encode(), spoiled(draft, maker.ids, time))
        return Item(draft.kind, {}, time, f"malformed {draft.reason}", False, direct)
    record = draft.record
    record["received_at"] = time
    if draft.mess != "misrouted":
        return Item(draft.kind, record, time, draft.mess, draft.has_twin)
    key = None if maker.chance.random() < 0.3 else maker.ids.token(4).encode()
    return Item(
        draft.kind,
        record,
        time,
        draft.mess,
        draft.has_twin,
        Direct(key, encode(TOPIC_OF_KIND[draft.kind], record)),
    )
