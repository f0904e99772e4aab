"""The oracle's persons, by hand.

hours   0        1        2        3        4
phone   click a  lead x                              x, y: keys
laptop           lead x            lead y
tablet                    click b  lead y   sale     one journey: a, b and the leads
"""

from collections.abc import Sequence

import pytest

from schemas.ids import mint
from simulator.oracle.compute import Rules, compute
from simulator.oracle.credit import Credit
from tests.unit.simulator.logs import HOUR, NOON, Sent, event, event_id, log_of

PHONE, LAPTOP, TABLET = (mint(route) for route in ("aaaa", "kkkk", "zzzz"))
SALE_CLICK = mint("zzzz")


def click(name: str, visitor: str, hour: int, click_id: str) -> Sent:
    return event("click", name, NOON + hour * HOUR, visitor_id=visitor, click_id=click_id)


def lead(name: str, visitor: str, hour: int, **fields: object) -> Sent:
    ids = {"visitor_id": visitor, "lead_id": mint(visitor[:4])}
    return event("lead", name, NOON + hour * HOUR, **ids, **fields)


def journey(consent: str = "granted") -> list[Sent]:
    return [
        click("a", PHONE, 0, mint("aaaa")),
        lead("x1", PHONE, 1, email_hash="x", consent=consent),
        lead("x2", LAPTOP, 1, email_hash="x", phone_hash="y"),
        click("b", TABLET, 2, SALE_CLICK),
        lead("y2", TABLET, 3, phone_hash="y"),
        event("conversion", "s", NOON + 4 * HOUR, value=10, click_id=SALE_CLICK),
    ]


def earned(sent: Sequence[Sent], limit: int = 20) -> dict[str, str]:
    found: Sequence[Credit] = compute(log_of(sent), Rules(person_limit=limit)).credits
    return {
        credit.model: credit.touch_id for credit in found if credit.model in ("first_click", "last_click")
    }


@pytest.mark.parametrize("step", [1, -1], ids=["in order", "backwards"])
def test_a_chain_of_keys_is_one_journey_in_any_order(step: int) -> None:
    assert earned(journey()[::step]) == {"first_click": event_id("a"), "last_click": event_id("b")}


def test_over_the_limit_each_visitor_stands_for_itself() -> None:
    assert earned(journey(), 3)["first_click"] == event_id("a")
    assert earned(journey(), 2)["first_click"] == event_id("b")


def test_who_denies_consent_is_not_joined() -> None:
    assert earned(journey("denied"))["first_click"] == event_id("b")


def test_hashes_of_an_address_and_of_a_number_are_different_keys() -> None:
    mixed = [*journey()[:2], lead("z", TABLET, 3, phone_hash="x"), *journey()[3:4], journey()[5]]
    assert earned(mixed)["first_click"] == event_id("b")
