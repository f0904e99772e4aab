"""The oracle's credits, by hand."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import mint, route_of
from simulator.oracle.compute import compute
from simulator.oracle.credit import Credit
from simulator.oracle.money import WHOLE, divide, quantised
from simulator.oracle.reject import NO_ID
from tests.unit.simulator.logs import DAY, HOUR, MINUTE, NOON, Sent, event, event_id, log_of

VISITOR = mint("abcd")
CLICK_A, CLICK_B = mint("abcd"), mint("abcd")
LEAD = mint("abcd")
ENDS = ("last_click", "first_click")
VALUE, PAYOUT = 10_000_000, 700_000


def click(name: str, click_id: str, at: int, **fields: object) -> Sent:
    own = {"visitor_id": VISITOR, "click_id": click_id, "campaign": f"campaign of {name}"}
    return event("click", name, at, **{**own, **fields})


def sale(name: str, at: int, **fields: object) -> Sent:
    return event("conversion", name, at, **{"value": VALUE, "payout": PAYOUT, "click_id": CLICK_B, **fields})


def credits_of(*sent: Sent) -> dict[str, Credit]:
    found = [credit for credit in compute(log_of(sent)).credits if credit.model in ENDS]
    assert len({credit.model for credit in found}) == len(found), (
        "one touch earns all under each of these models"
    )
    return {credit.model: credit for credit in found}


def test_last_and_first_click_of_the_journey() -> None:
    """
    hours   0      1      2      3
            A      B      C      sale names B
            first         last
    """
    names = {"a": CLICK_A, "b": CLICK_B, "c": mint("abcd")}
    clicks = [
        click(name, click_id, NOON + hour * HOUR) for hour, (name, click_id) in enumerate(names.items())
    ]
    found = credits_of(*clicks, sale("s", NOON + 3 * HOUR))
    assert found["first_click"].touch_id == event_id("a")
    assert found["last_click"].touch_id == event_id("c")
    assert found["last_click"].campaign == "campaign of c"
    assert [credit.value for credit in found.values()] == [VALUE, VALUE]
    assert [credit.payout for credit in found.values()] == [PAYOUT, PAYOUT]


def test_a_touch_that_arrives_after_its_conversion_earns_all_the_same() -> None:
    """
    occurs    A 0h   B 1h   sale 2h
    arrives   A      sale   B
    """
    late = click("b", CLICK_B, NOON + HOUR, time=NOON + 5 * HOUR)
    found = credits_of(click("a", CLICK_A, NOON), sale("s", NOON + 2 * HOUR), late)
    assert found["last_click"].touch_id == event_id("b")
    assert found["first_click"].touch_id == event_id("a")


@pytest.mark.parametrize(("before", "earns"), [(30 * DAY, True), (30 * DAY + 1, False)])
def test_lookback_includes_its_first_moment(before: int, earns: bool) -> None:
    """
    A ──────── 30 days ──────── B, sale
    ^ in                        (B, named by the sale, at the sale's moment, is in too)
    """
    found = credits_of(click("a", CLICK_A, NOON - before), click("b", CLICK_B, NOON), sale("s", NOON))
    assert found["first_click"].touch_id == event_id("a" if earns else "b")
    assert found["last_click"].touch_id == event_id("b")


def test_a_named_click_after_the_conversion_leads_nowhere() -> None:
    """
    hours   0      1
            sale   B      named by the sale, but later than it; and the sale names no visitor
    """
    found = credits_of(sale("s", NOON, campaign="own"), click("b", CLICK_B, NOON + HOUR))
    assert {credit.touch_id for credit in found.values()} == {NO_ID}
    assert {(credit.channel, credit.campaign, credit.value) for credit in found.values()} == {
        ("unattributed", "own", VALUE)
    }


@pytest.mark.parametrize(
    ("after", "earns"), [(1, True), (60_000, True), (60_001, False)], ids=["1 ms", "a minute", "more"]
)
def test_a_click_up_to_a_minute_after_its_conversion_earns(after: int, earns: bool) -> None:
    """
    seconds   0      60
              sale   B     named by the sale; the partner's clock is behind
              ───────┘ window of the models that come with funnel
    """
    found = credits_of(sale("s", NOON), click("b", CLICK_B, NOON + after))
    assert {credit.touch_id for credit in found.values()} == {event_id("b") if earns else NO_ID}


@pytest.mark.parametrize(("after", "leads"), [(10 * MINUTE, True), (10 * MINUTE + 1, False)])
def test_a_named_click_leads_to_earlier_ones_up_to_ten_minutes_later(after: int, leads: bool) -> None:
    """
    minutes   -60   0      10
              A     sale   B     named by the sale: too late to earn, but it tells whose journey it is
    """
    sent = [click("a", CLICK_A, NOON - HOUR), sale("s", NOON), click("b", CLICK_B, NOON + after)]
    assert {credit.touch_id for credit in credits_of(*sent).values()} == {event_id("a") if leads else NO_ID}


def test_lead_leads_to_the_visitor_where_the_click_does_not() -> None:
    """
    minutes   0      5      9
              A      lead   sale names the lead and an unknown click on the same route
    """
    lead = event("lead", "l", NOON + 5 * MINUTE, visitor_id=VISITOR, lead_id=LEAD)
    found = credits_of(click("a", CLICK_A, NOON), lead, sale("s", NOON + 9 * MINUTE, lead_id=LEAD))
    assert found["last_click"].touch_id == event_id("a")


def test_ties_go_by_event_id() -> None:
    """
    minutes   0               9
              A and B both    sale
    """
    low, high = sorted(("a", "b"), key=event_id)
    found = credits_of(click("a", CLICK_A, NOON), click("b", CLICK_B, NOON), sale("s", NOON + 9 * MINUTE))
    assert found["first_click"].touch_id == event_id(low)
    assert found["last_click"].touch_id == event_id(high)


def test_a_foreign_click_id_leads_to_the_visitors_route() -> None:
    """
    minutes   0                     60
              A (their-click-1)     sale names their-click-1, whose route is not that of A's visitor
    """
    foreign = "their-click-1"
    assert route_of(foreign) != "abcd"
    found = credits_of(click("a", foreign, NOON), sale("s", NOON + HOUR, click_id=foreign))
    assert {credit.touch_id for credit in found.values()} == {event_id("a")}


def test_a_networks_id_leads_to_the_first_visitor_that_carried_it() -> None:
    """
    minutes   -60            0              60
              A (gclid 1)    B (gclid 1)    sale names gclid 1; A and B are of two visitors
    """
    sent = [
        click("a", CLICK_A, NOON - HOUR, external_id="gclid-1"),
        click("b", CLICK_B, NOON, external_id="gclid-1", visitor_id="somebody else"),
        sale("s", NOON + HOUR, click_id="gclid-1"),
    ]
    assert {credit.touch_id for credit in credits_of(*sent).values()} == {event_id("a")}


@pytest.mark.parametrize(("visitors", "leads"), [(20, True), (21, False)])
def test_an_id_that_too_many_carry_leads_nowhere(visitors: int, leads: bool) -> None:
    """
    A script that found no id sends "undefined" for everybody.
    """
    sent = [
        click(f"a{number}", CLICK_A, NOON + number, external_id="undefined", visitor_id=f"visitor {number}")
        for number in range(visitors)
    ]
    found = credits_of(*sent, sale("s", NOON + HOUR, click_id="undefined"))
    assert {credit.touch_id for credit in found.values()} == {event_id("a0") if leads else NO_ID}


def test_a_rejected_sale_keeps_its_touch_but_no_money() -> None:
    """
    hours   0      1          2
            B      approved   rejected
    """
    rejected = sale("r", NOON + HOUR, status="rejected", status_at=NOON + 2 * HOUR)
    found = credits_of(click("b", CLICK_B, NOON), sale("s", NOON + HOUR), rejected)
    assert {(c.touch_id, c.weight, c.value, c.payout) for c in found.values()} == {
        (event_id("b"), WHOLE, 0, 0)
    }


def test_every_model_over_one_journey() -> None:
    """
    days before   40   20   10                  3        0.5        0
                  A    B    C, an affiliate's   D direct V (a view)  sale
    """
    days = {"a": 40.0, "b": 20.0, "c": 10.0, "d": 3.0}
    at = {name: NOON - int(before * DAY) for name, before in days.items()}
    given = {"a": {}, "b": {"utm_medium": "email"}, "c": {"affiliate": "aff"}, "d": {}}
    clicks = [click(name, mint("abcd"), at[name], **given[name]) for name in days]
    view = event("impression", "v", NOON - DAY // 2, visitor_id=VISITOR)
    found = compute(log_of([*clicks, view, sale("s", NOON, visitor_id=VISITOR, click_id="")])).credits
    shares: dict[str, dict[str, int]] = {}
    for credit in found:
        shares.setdefault(credit.model, {})[credit.touch_id] = credit.weight
        assert credit.touch_kind == ("impression" if credit.touch_id == event_id("v") else "click")
    named = {event_id(name): name for name in (*days, "v")}
    assert {m: {named[touch]: w for touch, w in earned.items()} for m, earned in shares.items()} == {
        "last_click": {"d": WHOLE},
        "first_click": {"b": WHOLE},
        "last_touch": {"v": WHOLE},
        "first_touch": {"b": WHOLE},
        "linear": {"b": 333_333_334, "c": 333_333_333, "d": 333_333_333},
        "position_based": {"b": 400_000_000, "c": 200_000_000, "d": 400_000_000},
        "time_decay": {"b": 110_112_141, "c": 296_629_286, "d": 593_258_573},
        "last_affiliate_click": {"c": WHOLE},
        "payout": {"c": WHOLE},
    }


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any))
def test_division_is_exact_and_fair(amount: int, weights: list[int]) -> None:
    parts = divide(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(amount * weight, sum(weights))) < 1
        assert weight or not part
    assert divide(-amount, weights) == [-part for part in parts]


def test_what_is_left_goes_to_the_largest_fraction_then_to_the_earlier_part() -> None:
    assert divide(100, [1, 1, 1]) == [34, 33, 33]
    assert divide(5, [1, 3]) == [1, 4]
    assert divide(-5, [1, 1]) == [-3, -2]
    assert quantised([1, 1, 1]) == [333_333_334, 333_333_333, 333_333_333]
