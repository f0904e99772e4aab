"""docs/rules.md, section 9: the rollups. That of minutes is filled row by row, those of hours and days are summed up from it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from simulator.oracle.count import State
from simulator.oracle.credit import Credit
from simulator.oracle.enrich import Enrichment

MINUTE_MS = 60_000
HOUR, DAY = 3_600, 86_400
"""Seconds of a bucket."""
MEASURES = (
    "impressions",
    "clicks",
    "leads",
    "conversions_pending",
    "conversions_approved",
    "conversions_rejected",
    "conversions_reversed",
    "revenue",
    "revenue_approved",
    "payout",
    "payout_approved",
    "credit_weight",
)
_PLACE = {measure: place for place, measure in enumerate(MEASURES)}
_MEASURE_OF_KIND = {"impression": "impressions", "click": "clicks", "lead": "leads"}


class Group(NamedTuple):
    """What a row of the rollup is for; ``bucket`` is the beginning of the minute, hour or day in seconds UTC."""

    bucket: int
    campaign: str
    affiliate: str
    offer: str
    channel: str
    country: str
    device: str
    bot: int
    currency: str
    model: str
    model_version: int


class Rollup:
    """Sums and visitors per group, filled row by row."""

    def __init__(self) -> None:
        self.sums: dict[Group, list[int]] = {}
        self.visitors: dict[Group, int] = {}
        self._places: dict[Group, int] = {}
        self._seen: set[tuple[int, str]] = set()
        self.all_visitors: set[str] = set()

    def add_touch(self, kind: str, record: Mapping[str, Any], enrichment: Enrichment) -> None:
        """Take in an accepted impression, click or lead."""
        e = enrichment
        dims = (
            record["campaign"],
            record["affiliate"],
            record["offer"],
            e.channel,
            e.country,
            e.device,
            e.bot,
        )
        group = Group(_minute(record["occurred_at"]), *dims, "", "", 0)
        self._add(group, {_MEASURE_OF_KIND[kind]: 1})
        visitor_id = record["visitor_id"]
        mark = self._places.setdefault(group, len(self._places)), visitor_id
        if mark not in self._seen:
            self._seen.add(mark)
            self.visitors[group] = self.visitors.get(group, 0) + 1
            self.all_visitors.add(visitor_id)

    def add_transaction(self, state: State) -> None:
        """Take in the state of a transaction."""
        s = state
        dims = (s.campaign, s.affiliate, s.offer, s.channel, s.country, s.device, s.bot)
        money = _money(state, state.value, state.payout)
        self._add(
            Group(_minute(s.occurred_at), *dims, s.currency, "", 0), {f"conversions_{s.status}": 1} | money
        )

    def add_credits(self, state: State, credits: Iterable[Credit]) -> None:
        """Take in the credits of a transaction in that state."""
        if not state.is_recognised:
            return
        for credit in credits:
            group = Group(
                _minute(state.occurred_at), *credit[10:17], state.currency, credit.model, credit.model_version
            )
            self._add(group, {"credit_weight": credit.weight} | _money(state, credit.value, credit.payout))

    def coarser(self, seconds: int) -> Self:
        """Return the rollup with buckets of so many seconds: sums of its groups, and every visitor of them once."""
        coarse = type(self)()
        into = {group: group._replace(bucket=group.bucket // seconds * seconds) for group in self.sums}
        for group, sums in self.sums.items():
            before = coarse.sums.get(into[group])
            added = sums if before is None else map(int.__add__, before, sums)
            coarse.sums[into[group]] = list(added)
        coarse._places = {group: place for place, group in enumerate(coarse.sums)}
        moved = {place: coarse._places[into[group]] for group, place in self._places.items()}
        coarse._seen = {(moved[place], visitor_id) for place, visitor_id in self._seen}
        by_place = Counter(place for place, _ in coarse._seen)
        coarse.visitors = {
            group: by_place[place] for group, place in coarse._places.items() if by_place[place]
        }
        coarse.all_visitors = self.all_visitors
        return coarse

    def _add(self, group: Group, measures: Mapping[str, int]) -> None:
        sums = self.sums.get(group)
        if sums is None:
            sums = self.sums[group] = [0] * len(MEASURES)
        for name, amount in measures.items():
            sums[_PLACE[name]] += amount


def _minute(milliseconds: int) -> int:
    return milliseconds // MINUTE_MS * 60


def _money(state: State, value: int, payout: int) -> dict[str, int]:
    if not state.is_recognised:
        return {}
    money = {"revenue": value, "payout": payout}
    if state.status == "approved":
        money |= {"revenue_approved": value, "payout_approved": payout}
    return money
