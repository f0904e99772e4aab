"""Without consent nothing is kept in the browser, and everything still counts."""

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Demo, Visitor, visiting
from tests.browser.journey import touches

GPC = "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"
DNT = "Object.defineProperty(navigator, 'doNotTrack', {value: '1'})"


def view_and_lead(visitor: Visitor, url: str) -> None:
    """Open a landing page with an e-mail form and send the form."""
    page = visitor.page
    with page.expect_response("**/i.gif") as seen:
        page.goto(url)
    assert seen.value.status == 200
    page.fill("input[type=email]", "jane@mail.example")
    with page.expect_response("**/lead") as sent:
        # The answer is to be seen here; a page that is left takes no note of it.
        page.evaluate("document.forms[0].addEventListener('submit', (event) => event.preventDefault())")
        page.click("text=Send me news")
    assert sent.value.status == 200


def test_denied_means_counted_and_forgotten(demo: Demo, visitor: Visitor) -> None:
    handed = "a" * 30
    url = f"{demo.shop}/landing?campaign=denied&consent=denied&utm_source=daily&funnel_click=c-1&funnel_visitor={handed}"
    view_and_lead(visitor, url)
    assert visitor.stored() == {}
    assert visitor.context.cookies() == []
    first, lead = touches(demo.values, "denied", 2)
    assert {first["consent"], lead["consent"]} == {"denied"}
    assert lead["click_id"] == "c-1", "it is in the page's own address"
    assert first["visitor_id"] == lead["visitor_id"] != handed, (
        "as long as the page is open it is one visitor"
    )
    visitor.page.reload()
    assert touches(demo.values, "denied", 3)[2]["visitor_id"] != first["visitor_id"]
    assert visitor.complaints == []


@pytest.mark.parametrize("objection", [GPC, DNT], ids=["gpc", "dnt"])
def test_a_browser_that_objects_has_denied_whatever_the_page_says(
    demo: Demo, browser: Browser, objection: str
) -> None:
    campaign = f"objects-{objection.partition(', ')[2][1:4]}"
    with visiting(browser) as visitor:
        visitor.context.add_init_script(objection)
        view_and_lead(visitor, f"{demo.shop}/landing?campaign={campaign}&consent=granted")
        visitor.page.evaluate("funnel('consent', 'granted')")
        assert visitor.stored() == {}
        assert visitor.context.cookies() == []
    assert {one["consent"] for one in touches(demo.values, campaign, 2)} == {"denied"}


def test_before_the_visitor_has_decided_nothing_is_kept_and_then_it_is(demo: Demo, visitor: Visitor) -> None:
    view_and_lead(visitor, f"{demo.shop}/landing?campaign=undecided&funnel_click=c-1")
    assert visitor.stored() == {}
    visitor.page.evaluate("funnel('consent', 'granted')")
    memory = visitor.memory()
    assert memory["click"] == "c-1"
    with visitor.page.expect_response("**/i.gif"):
        visitor.page.goto(f"{demo.shop}/landing?campaign=undecided&consent=granted")
    view, lead, later = touches(demo.values, "undecided", 3)
    assert [one["consent"] for one in (view, lead, later)] == ["unknown", "unknown", "granted"]
    assert {view["visitor_id"], lead["visitor_id"], later["visitor_id"]} == {memory["visitor"]}
    assert visitor.memory()["click"] == "c-1"


def test_consent_withdrawn_takes_everything_out(demo: Demo, visitor: Visitor) -> None:
    view_and_lead(visitor, f"{demo.shop}/landing?campaign=withdrawn&consent=granted")
    assert visitor.stored().keys() == {"funnel"}
    visitor.page.evaluate("localStorage.setItem('theirs', 'kept')")
    visitor.page.evaluate("funnel('consent', 'denied')")
    assert visitor.stored() == {"theirs": "kept"}
    view, lead = touches(demo.values, "withdrawn", 2)
    with visitor.page.expect_response("**/i.gif"):
        visitor.page.evaluate("funnel('view')")
    after = touches(demo.values, "withdrawn", 3)[2]
    assert after["consent"] == "denied"
    assert view["visitor_id"] == lead["visitor_id"] != after["visitor_id"]
