"""What could not be delivered is sent again at the next page, under the same id."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Request, Route

from tests.browser.conftest import NEAR, Demo, Visitor, visiting
from tests.browser.journey import await_rows, touches
from tests.support import drain

QUEUED = "() => Object.keys(JSON.parse(localStorage.funnel || '{}').queue || {}).length"


def queued(visitor: Visitor) -> list[str]:
    """The ids of the events that wait."""
    return list(visitor.memory().get("queue", {}))


def visit(demo: Demo, visitor: Visitor, campaign: str) -> None:
    """Open the landing page; return once its view is answered."""
    with visitor.page.expect_response("**/i.gif"):
        visitor.page.goto(f"{demo.shop}/landing?campaign={campaign}&consent=granted")


def test_a_collector_that_is_down_gets_its_events_when_it_is_back(demo: Demo, visitor: Visitor) -> None:
    visit(demo, visitor, "warm-up")
    visitor.page.wait_for_function(f"({QUEUED})() === 0")
    demo.stop_collector()
    try:
        visitor.page.goto(f"{demo.shop}/landing?campaign=outage&consent=granted")
        visitor.page.fill("input[type=email]", "jane@mail.example")
        with visitor.page.expect_navigation(url="**/thanks"):
            visitor.page.click("text=Send me news")
        visitor.page.wait_for_function(f"({QUEUED})() === 2")
        waiting = queued(visitor)
    finally:
        demo.start_collector()
    visit(demo, visitor, "afterwards")
    visitor.page.wait_for_function(f"({QUEUED})() === 0")
    arrived = touches(demo.values, "outage", 2)
    assert {one["kind"] for one in arrived} == {"impression", "lead"}
    assert sorted(one["id"] for one in arrived) == sorted(waiting)
    [after] = touches(demo.values, "afterwards", 1)
    assert {one["visitor_id"] for one in arrived} == {after["visitor_id"]}


def refuse(route: Route) -> None:
    """Answer as a collector without its broker does."""
    origin = route.request.headers["origin"]
    headers = {"access-control-allow-origin": origin, "access-control-allow-credentials": "true"}
    route.fulfill(status=503, headers=headers, body="{}")


def lose_the_answer(route: Route) -> None:
    """Let the event through, and nobody learn of it."""
    route.fetch(url=route.request.url.replace(NEAR, "127.0.0.1"))
    route.abort()


@pytest.mark.parametrize("mishap", [refuse, lose_the_answer])
def test_an_event_without_an_answer_is_sent_again_and_counts_once(
    demo: Demo, visitor: Visitor, mishap: Callable[[Route], None]
) -> None:
    campaign = mishap.__name__
    visit(demo, visitor, "warm-up")
    visitor.page.wait_for_function(f"({QUEUED})() === 0")
    visitor.page.route("**/i.gif", mishap)
    visitor.page.goto(f"{demo.shop}/landing?campaign={campaign}&consent=granted")
    visitor.page.wait_for_function(f"({QUEUED})() === 1")
    [waiting] = queued(visitor)
    visitor.page.unroute("**/i.gif")
    visit(demo, visitor, "afterwards")
    visitor.page.wait_for_function(f"({QUEUED})() === 0")
    drain(demo.values)
    [arrived] = touches(demo.values, campaign, 1)
    assert arrived["id"] == waiting
    again = await_rows(demo.values, f"SELECT reason FROM rejects WHERE toString(event_id) = '{waiting}'", 0)
    assert [one["reason"] for one in again] == (["conflict"] if mishap is lose_the_answer else [])


def test_what_waits_is_bounded_in_number_and_age(demo: Demo, visitor: Visitor) -> None:
    visit(demo, visitor, "bounds")
    visitor.page.wait_for_function(f"({QUEUED})() === 0")
    visitor.page.route("**/i.gif", lambda route: route.abort())
    visitor.page.evaluate("for (let count = 0; count < 30; count++) funnel('view')")
    assert len(queued(visitor)) == 20
    visitor.page.evaluate(
        """() => {
          const memory = JSON.parse(localStorage.funnel);
          Object.values(memory.queue).forEach((entry, at) => {
            if (at < 12) entry.at -= 20 * 36e5;
            else if (at < 19) entry.tries = 10;
          });
          localStorage.funnel = JSON.stringify(memory);
        }"""
    )
    young = queued(visitor)[19]
    visitor.page.unroute("**/i.gif")
    visit(demo, visitor, "afterwards")
    visitor.page.wait_for_function(f"({QUEUED})() === 0")
    drain(demo.values)
    assert young in [one["id"] for one in touches(demo.values, "bounds", 2)]
    assert len(touches(demo.values, "bounds", 2)) == 2


def test_where_requests_do_not_outlive_their_page_a_beacon_does(demo: Demo, browser: Browser) -> None:
    sent: list[Request] = []
    with visiting(browser) as visitor:
        visitor.context.add_init_script("delete Request.prototype.keepalive")
        visitor.context.on("request", lambda request: sent.append(request))
        visitor.page.goto(f"{demo.shop}/landing?campaign=beacon&consent=granted")
        visitor.page.fill("input[type=email]", "jane@mail.example")
        with visitor.page.expect_navigation(url="**/thanks"):
            visitor.page.click("text=Send me news")
        view, lead = touches(demo.values, "beacon", 2)
        assert visitor.complaints == []
    assert (view["kind"], lead["kind"]) == ("impression", "lead")
    assert view["visitor_id"] == lead["visitor_id"]
    kinds = {one.resource_type for one in sent if one.url.endswith(("/i.gif", "/lead"))}
    assert kinds == {"ping"}


def test_a_button_clicked_twice_is_one_lead(demo: Demo, visitor: Visitor) -> None:
    visit(demo, visitor, "twice")
    page = visitor.page
    page.evaluate("document.forms[0].addEventListener('submit', (event) => event.preventDefault())")
    for address in ("a@mail.example", "a@mail.example", "b@mail.example"):
        page.fill("input[type=email]", address)
        page.click("text=Send me news")
    drain(demo.values)
    leads = [one for one in touches(demo.values, "twice", 3) if one["kind"] == "lead"]
    assert len(leads) == 2
    assert leads[0]["email_hash"] != leads[1]["email_hash"]
