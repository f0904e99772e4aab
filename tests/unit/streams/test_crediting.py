"""Crediting in any order of arrival.

    event time    click A(10) ---- click B(20) ---- conversion(30)
    arrival       conversion, A, B
    ledger        +unattributed   -unattributed +A   (first_click: nothing more; last_click: -A +B)

Whatever the order, the sums are those of the journey as it is known in the end.
"""

from collections import Counter
from itertools import permutations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.attribution import NAMED_LATE_MS, Model, Models
from streams.cold import put_requests, put_touches
from streams.crediting import Hit, credit, take_requests
from streams.settings import WorkerSettings
from streams.state.partition import PartitionState, empty_partition

ROUTE = "aaaa"
LOOKBACK = 100
CLICKS = (("click", LOOKBACK),)
ALL = (("click", LOOKBACK), ("lead", 50), ("impression", 20))
ENDS = (Model("last_click", 1, "last", CLICKS), Model("first_click", 1, "first", CLICKS))
MANY = (
    *ENDS,
    Model("last_touch", 2, "last", ALL),
    Model("linear", 1, "linear", ALL),
    Model("linear", 2, "linear", CLICKS, skew=4),
    Model("position", 1, "position", ALL, first=40, last=40),
    Model("decay", 1, "time_decay", ALL, direct="last_resort", half_life=7, skew=9),
    Model("payout", 1, "last", CLICKS, "payout", channels=("affiliate",)),
)


def click(
    number: int,
    at: int,
    visitor: str = "v1",
    route: str = ROUTE,
    kind: str = "click",
    channel: str = "email",
) -> dict[str, Any]:
    return {
        "visitor_id": visitor,
        "click_id": f"c{number}" if kind == "click" else "",
        "lead_id": f"l{number}" if kind == "lead" else "",
        "route": route,
        "occurred_at": at,
        "_record_time": 1000 + number,
        "event_hi": 0,
        "event_lo": number,
        "kind": kind,
        "campaign": f"campaign{number}",
        "affiliate": "",
        "offer": "",
        "channel": channel,
        "country": "",
        "device": "mobile",
        "bot": 0,
        "_source": "cluster/clicks/0",
        "_offset": number,
    }


def request(
    at: int = 30,
    revision: int = 1,
    value: int = 100,
    moved: bool = False,
    click_id: str = "",
    lead_id: str = "",
    visitor_id: str = "v1",
    transaction_id: str = "t1",
) -> dict[str, Any]:
    return {
        "_partition": 0,
        "_source": "cluster/credit-requests/0",
        "_offset": revision,
        "_record_time": 1000,
        "route": ROUTE,
        "revision": revision,
        "moved": moved,
        "event_hi": 1,
        "event_lo": revision,
        "partner": "p",
        "transaction_id": transaction_id,
        "occurred_at": at,
        "status": "approved",
        "value": value,
        "payout": value // 10,
        "currency": "EUR",
        "goal": "sale",
        "campaign": "own",
        "affiliate": "",
        "offer": "",
        "click_id": click_id,
        "lead_id": lead_id,
        "visitor_id": visitor_id,
        "person": "",
        "origin": "",
        "step": 0,
    }


KEY = ("partner", "transaction_id", "route", "person")


def touch_frame(touches: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(touches).with_columns(pl.col("event_hi", "event_lo").cast(pl.UInt64))


class Ledger:
    """A partition that is fed facts, what it journals of them, and the sums of its credit rows."""

    def __init__(self, models: Models = ENDS) -> None:
        self.settings = WorkerSettings(bootstrap="", models=models)
        self.state: PartitionState = empty_partition(self.settings)
        self.touches: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.credits: list[pl.DataFrame] = []
        self.rows = 0
        self.sums: Counter[tuple[str, str, int]] = Counter()
        self.weights: Counter[tuple[str, str, int, int]] = Counter()
        self.verdicts: list[int] = []

    def feed(self, *facts: dict[str, Any]) -> None:
        """One flush: touches first, as the worker does."""
        hits: list[Hit] = []
        requests = [fact for fact in facts if "kind" not in fact]
        for kind in ("impression", "click", "lead"):
            touches = [fact for fact in facts if fact.get("kind") == kind]
            if not touches:
                continue
            self.touches += touches
            for values in self.state.touches.add(touch_frame(touches)).values():
                hits += [
                    Hit(0, key, (touches[place]["_source"], touches[place]["_offset"], 0))
                    for place, key in self.state.requests.concerned(values)
                ]
        if requests:
            verdict, new = take_requests({0: self.state}, pl.DataFrame(requests))
            self.verdicts += verdict.tolist()
            hits += new
            self.requests += requests
        rows = credit(self.state, hits)
        if rows is not None:
            self.credits.append(rows)
            self.rows += rows.height
            for row in rows.iter_rows(named=True):
                self.sums[row["transaction_id"], row["model"], row["touch_lo"]] += row["sign"] * row["value"]
                model = row["model"], row["model_version"], row["touch_lo"]
                self.weights[(row["transaction_id"], *model)] += row["sign"] * row["weight"]

    def restart(self) -> None:
        """Forget everything, and put back what is in the journal."""
        self.state = empty_partition(self.settings)
        if self.touches:
            put_touches({0: self.state}, touch_frame(self.touches).with_columns(_partition=0))
        if self.requests:
            requests = pl.DataFrame(self.requests).sort("revision", "step", "moved", descending=True)
            newest = requests.unique((*KEY, "origin"), keep="first", maintain_order=True)
            put_requests({0: self.state}, newest, self.in_force())

    def in_force(self) -> pl.DataFrame:
        credits = pl.concat([row.rename({"event_hi": "_", "event_lo": "__"}) for row in self.credits])
        same = [
            name for name in credits.columns if name not in ("sign", "_source", "_offset", "_record_time")
        ]
        same = [name for name in same if name not in ("_", "__", "revision")]
        summed = credits.group_by(same).agg(pl.col("sign").sum()).filter(pl.col("sign") > 0)
        return summed.with_columns(_partition=0)

    def earned(self, transaction_id: str = "t1") -> dict[str, dict[int, int]]:
        """Return value by touch and model, without what adds up to nothing."""
        found: dict[str, dict[int, int]] = {model.name: {} for model in self.settings.models}
        for (transaction, model, touch), value in self.sums.items():
            if transaction == transaction_id and value:
                found[model][touch] = value
        return found


def test_a_late_touch_restates_what_was_credited_before() -> None:
    ledger = Ledger()
    ledger.feed(request())
    assert ledger.earned() == {"last_click": {0: 100}, "first_click": {0: 100}}
    ledger.feed(click(1, 10))
    assert ledger.earned() == {"last_click": {1: 100}, "first_click": {1: 100}}
    ledger.feed(click(2, 20))
    assert ledger.earned() == {"last_click": {2: 100}, "first_click": {1: 100}}


def test_what_does_not_change_is_not_restated() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 10), request())
    rows = ledger.rows
    ledger.feed(click(2, 40), click(3, 10, visitor="v2"), click(4, 10, kind="lead"))
    assert ledger.rows == rows


@pytest.mark.parametrize(
    ("at", "earns"),
    [(-71, False), (-70, True), (30, True), (31, False)],
    ids=["too old", "first", "last", "too late"],
)
def test_the_lookback_includes_both_ends(at: int, earns: bool) -> None:
    ledger = Ledger()
    ledger.feed(click(1, at), request(at=30))
    assert ledger.earned()["last_click"] == ({1: 100} if earns else {0: 100})


SKEWED = (Model("strict", 1, "last", CLICKS), Model("tolerant", 1, "last", CLICKS, skew=5))


@pytest.mark.parametrize(
    ("at", "earns"),
    [(30, (1, 1)), (31, (0, 1)), (35, (0, 1)), (36, (0, 0))],
    ids=["at once", "after it", "last", "too late"],
)
@pytest.mark.parametrize("late", [False, True])
def test_a_touch_after_its_conversion_counts_within_the_skew(
    at: int, earns: tuple[int, int], late: bool
) -> None:
    """
    event time   conversion(30) ─── 35   36
    strict       ^ window's end
    tolerant                        ^ window's end
    """
    ledger = Ledger(SKEWED)
    if late:
        ledger.feed(request(at=30))
        ledger.feed(click(1, at))
    else:
        ledger.feed(click(1, at), request(at=30))
    assert ledger.earned() == {"strict": {earns[0]: 100}, "tolerant": {earns[1]: 100}}


def test_a_touch_after_its_conversion_is_of_its_own_time() -> None:
    """
    event time   click 1(20)   conversion(30)   click 2(33)   impression 3(34)
    last                                        ^ all
    decay        2^-10/2       ^ 1 would be     1, not more   (no model looks at it)
    """
    decay = Model("decay", 1, "time_decay", CLICKS, half_life=2, skew=5)
    ledger = Ledger((Model("last", 1, "last", CLICKS, skew=5), decay))
    ledger.feed(click(1, 20), click(2, 33), click(3, 34, kind="impression"), request(at=30, value=33))
    assert ledger.earned() == {"last": {2: 33}, "decay": {1: 1, 2: 32}}


def test_skew_outlives_a_restart() -> None:
    ledger = Ledger(SKEWED)
    ledger.feed(click(1, 20), request(at=30))
    ledger.restart()
    ledger.feed(click(2, 34))
    assert ledger.earned() == {"strict": {1: 100}, "tolerant": {2: 100}}


@pytest.mark.parametrize(("after", "leads"), [(NAMED_LATE_MS, True), (NAMED_LATE_MS + 1, False)])
@pytest.mark.parametrize("kind", ["click", "lead"])
def test_what_a_conversion_names_leads_to_its_visitor_by_any_clock(
    kind: str, after: int, leads: bool
) -> None:
    """
    event time   click 1 of v9 (10)   conversion(30) names click 2 of v9, ten minutes later by its clock
    models       ^ all, even without any skew: click 2 itself is out of their windows
    """
    ledger = Ledger()
    named = {"click": {"click_id": "c2"}, "lead": {"lead_id": "l2"}}[kind]
    ledger.feed(click(1, 10, visitor="v9"), request(visitor_id="", **named))
    ledger.feed(click(2, 30 + after, visitor="v9", kind=kind))
    assert ledger.earned()["last_click"] == {1 if leads else 0: 100}


def test_a_touch_of_another_route_is_not_seen() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 10, route="bbbb"), request())
    assert ledger.earned()["last_click"] == {0: 100}


def test_the_click_named_leads_to_its_visitor_even_if_it_arrives_late() -> None:
    """conversion names click 2 of visitor v9, who had clicked before."""
    ledger = Ledger()
    ledger.feed(click(1, 10, visitor="v9"), request(click_id="c2", visitor_id=""))
    assert ledger.earned()["first_click"] == {0: 100}
    ledger.feed(click(2, 20, visitor="v9"))
    assert ledger.earned() == {"last_click": {2: 100}, "first_click": {1: 100}}


def test_a_higher_revision_replaces_and_a_lower_one_is_a_duplicate() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 10), request(revision=2, value=70), request(revision=1, value=100))
    ledger.feed(request(revision=2, value=70))
    assert ledger.earned()["last_click"] == {1: 70}
    assert ledger.verdicts == [0, 1, 1]


def test_a_moved_request_takes_everything_back() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 10), request())
    ledger.feed(request(revision=2, moved=True))
    assert ledger.earned() == {"last_click": {}, "first_click": {}}
    ledger.feed(click(2, 20))
    assert ledger.earned() == {"last_click": {}, "first_click": {}}


FACTS = st.lists(
    st.one_of(
        st.builds(
            click,
            st.integers(1, 8),
            st.integers(-80, 40),
            st.sampled_from(["v1", "v2"]),
            kind=st.sampled_from(["click", "click", "impression", "lead"]),
            channel=st.sampled_from(["email", "direct", "affiliate"]),
        ),
        st.builds(
            request,
            st.just(30),
            st.integers(1, 3),
            click_id=st.sampled_from(["", "c1", "c2"]),
            lead_id=st.sampled_from(["", "l1", "l3"]),
            visitor_id=st.sampled_from(["", "v1", "v2"]),
            transaction_id=st.sampled_from(["t1", "t2"]),
        ),
    ),
    min_size=1,
    max_size=14,
    # One content per identity: which of two different ones came first is the log's order.
    unique_by=lambda fact: (
        ("touch", fact["event_lo"]) if "kind" in fact else (fact["transaction_id"], fact["revision"])
    ),
)


@given(FACTS, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_batching_ends_in_the_same_sums(
    facts: list[dict[str, Any]], random: Any, size: int
) -> None:
    at_once, piecewise = Ledger(MANY), Ledger(MANY)
    at_once.feed(*facts)
    shuffled = list(facts)
    random.shuffle(shuffled)
    for start in range(0, len(shuffled), size):
        piecewise.feed(*shuffled[start : start + size])
    assert +piecewise.weights == +at_once.weights
    for transaction in ("t1", "t2"):
        assert piecewise.earned(transaction) == at_once.earned(transaction)


@given(FACTS, st.lists(st.booleans(), min_size=14, max_size=14))
def test_restarts_change_nothing(facts: list[dict[str, Any]], restarts: list[bool]) -> None:
    at_once, restarted = Ledger(MANY), Ledger(MANY)
    at_once.feed(*facts)
    for fact, restart in zip(facts, restarts, strict=False):
        restarted.feed(fact)
        if restart:
            restarted.restart()
    assert +restarted.weights == +at_once.weights


@given(FACTS)
def test_restating_twice_is_restating_once(facts: list[dict[str, Any]]) -> None:
    ledger = Ledger(MANY)
    for fact in facts:
        ledger.feed(fact)
    rows = ledger.rows
    keys = list(ledger.state.requests.by_key)
    assert credit(ledger.state, [Hit(0, key, ("cluster/clicks/0", 9, 0)) for key in keys]) is None
    ledger.state.requests.expire(0)
    assert credit(ledger.state, [Hit(0, key, ("cluster/clicks/0", 9, 0)) for key in keys]) is None
    assert ledger.rows == rows


@given(FACTS)
def test_credits_add_up_and_lie_within_their_window(facts: list[dict[str, Any]]) -> None:
    ledger = Ledger(MANY)
    ledger.feed(*facts)
    credited = {key[0] for key in ledger.weights}
    for transaction in credited:
        for model in MANY:
            earned = {
                touch: weight
                for (of, *key, touch), weight in (+ledger.weights).items()
                if of == transaction and tuple(key) == model.key
            }
            assert sum(earned.values()) == 10**9
            for fact in facts:
                if "kind" in fact and fact["event_lo"] in earned:
                    assert -model.skew <= 30 - fact["occurred_at"] <= dict(model.lookback)[fact["kind"]]
                    assert model.channels is None or fact["channel"] in model.channels


def test_a_view_counts_where_a_model_looks_at_views() -> None:
    """
    event time    view 1(15)   click 2(20)   view 3(28)   conversion(30)
    last_click                 ^
    last_touch                               ^ late: what was credited to the click is taken back
    """
    ledger = Ledger(MANY)
    ledger.feed(click(1, 15, kind="impression"), click(2, 20), request())
    assert ledger.earned()["last_touch"] == {2: 100}
    ledger.feed(click(3, 28, kind="impression"))
    assert ledger.earned()["last_touch"] == {3: 100}
    assert ledger.earned()["last_click"] == {2: 100}


def test_one_touch_accepted_twice_earns_once_and_twins_of_other_content_go_by_their_text() -> None:
    """
    event time    click 1(10), again 1(10) after the deduplication window      conversion(30)
    linear        ^ all
    """
    ledger = Ledger(MANY)
    ledger.feed(click(1, 10), request())
    ledger.feed(click(1, 10))
    assert ledger.earned()["linear"] == {1: 200}, "of two versions"
    ledger.feed(click(1, 10) | {"campaign": "another"}, click(1, 10))
    linear = [weight for key, weight in ledger.weights.items() if key[1:3] == ("linear", 2) and weight]
    assert linear == [10**9]
    in_force = ledger.in_force().filter(pl.col("model") == "first_click")
    assert in_force["campaign"].to_list() == ["another"]


def test_what_an_older_version_says_is_left_alone() -> None:
    """A worker that credits under version 2 only: the credits of version 1 stay in force, and are not taken back."""
    ledger = Ledger(ENDS)
    ledger.feed(click(1, 10), request())
    ledger.settings = WorkerSettings(bootstrap="", models=(Model("last_click", 2, "last", CLICKS),))
    ledger.restart()
    ledger.feed(click(2, 20))
    assert +ledger.weights == {
        ("t1", "last_click", 1, 1): 10**9,
        ("t1", "first_click", 1, 1): 10**9,
        ("t1", "last_click", 2, 2): 10**9,
    }


def test_after_a_restart_a_late_touch_finds_the_request_by_the_visitor_that_its_click_led_to() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 10, visitor="v9"), request(click_id="c1", visitor_id=""))
    ledger.restart()
    ledger.feed(click(2, 20, visitor="v9"))
    assert ledger.earned() == {"last_click": {2: 100}, "first_click": {1: 100}}


def test_a_request_whose_click_is_only_in_the_journal_names_its_route() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 10, visitor="v9"), request(click_id="c1", visitor_id=""))
    requests = pl.DataFrame(ledger.requests)
    for floor, unresolved in ((None, set()), (1000, {ROUTE})):
        state = empty_partition(ledger.settings)
        state.cold_floor = floor
        put_requests({0: state}, requests, ledger.in_force())
        assert state.unresolved == unresolved


def test_forgetting_old_touches_leaves_the_newer_ones_findable() -> None:
    ledger = Ledger()
    ledger.feed(*(click(number, 10 + number) for number in range(1, 9)))
    ledger.state.touches.expire(1005)
    assert ledger.state.touches.rows == 8, "what came since the last time may not have landed yet"
    ledger.state.touches.expire(1005)
    assert ledger.state.touches.rows == 4
    ledger.feed(request())
    assert ledger.earned() == {"last_click": {8: 100}, "first_click": {5: 100}}
    assert np.all(ledger.state.touches._columns["record_time"][:4] >= 1005)


def sent_on(origin: str, moved: bool = False, revision: int = 1, step: int = 7) -> dict[str, Any]:
    """A request that a visitor's route has sent to the person v1."""
    place = 10 * revision + 2 * (ord(origin[-1]) - ord("a")) + moved
    return request(revision=revision, moved=moved) | {
        **{"person": "v1", "origin": origin, "step": step, "event_lo": place, "_offset": place}
    }


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("restart", [False, True])
def test_what_one_visitor_takes_back_is_its_own(order: tuple[int, ...], restart: bool) -> None:
    """
    person v1   from va: credit   from vb: credit, of the same step   from va: back
    in force                      vb's, whatever came first
    """
    facts = [sent_on("va"), sent_on("vb"), sent_on("va", moved=True)]
    ledger = Ledger()
    ledger.feed(click(1, 10), request(transaction_id="another"))
    for place in order:
        ledger.feed(facts[place])
        if restart:
            ledger.restart()
    assert ledger.earned() == {"last_click": {1: 100}, "first_click": {1: 100}}
    ledger.feed(sent_on("vb", moved=True, step=8))
    assert ledger.earned() == {"last_click": {}, "first_click": {}}


def test_of_two_visitors_the_one_with_the_newer_facts_stands() -> None:
    ledger = Ledger()
    ledger.feed(click(1, 10), sent_on("va", revision=2) | {"value": 70}, sent_on("vb"))
    assert ledger.earned()["last_click"] == {1: 70}
    ledger.feed(sent_on("va", revision=2), sent_on("va", revision=1, moved=True))
    assert ledger.verdicts == [0, 0, 1, 1]
