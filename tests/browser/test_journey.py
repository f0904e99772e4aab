"""A visitor's way from an ad to an order, under a strict content security policy.

impression (ad) ── click ── impression (landing page) ── lead ── conversion (the shop's server)
"""

import hashlib
import hmac

from playwright.sync_api import Page

from tests.browser.conftest import Demo, Visitor
from tests.browser.journey import Row, await_rows, touches


def walk(page: Page, ad: str, email: str) -> None:
    """See an ad, follow it, leave an address, buy."""
    with page.expect_response("**/i.gif") as seen:
        page.goto(ad)
    assert seen.value.status == 200
    with page.expect_response("**/i.gif"):
        page.click("#ad")
    page.fill("input[type=email]", email)
    with page.expect_navigation():
        page.click("text=Send me news")
    with page.expect_navigation():
        page.click("text=Buy the shoes")


def credited(demo: Demo, campaign: str) -> list[Row]:
    """The credits of a campaign's conversion under two models, one per model."""
    where = f"campaign = '{campaign}' AND model IN ('first_click', 'last_click')"
    sql = f"SELECT model, campaign, affiliate, toString(touch_id) AS touch, value FROM credits WHERE {where} ORDER BY model"
    return await_rows(demo.values, sql, 2)


def test_an_ad_a_click_a_lead_and_an_order_are_one_credited_journey(demo: Demo, visitor: Visitor) -> None:
    walk(visitor.page, f"{demo.magazine}/ad?campaign=spring&consent=granted", " Jane@Mail.example")
    ad, click, landing, lead = touches(demo.values, "spring", 4)
    assert [one["kind"] for one in (ad, click, landing, lead)] == [
        "impression",
        "click",
        "impression",
        "lead",
    ]
    assert {one["visitor_id"] for one in (ad, click, landing, lead)} == {click["visitor_id"]}
    assert (ad["affiliate"], ad["creative"], ad["channel"], ad["referrer"]) == (
        "daily",
        "banner-1",
        "affiliate",
        "",
    )
    assert landing["landing_url"].endswith(f"&funnel_click={click['click_id']}")
    assert (landing["utm_source"], landing["referrer"]) == ("daily", f"{demo.magazine}/")
    assert lead["click_id"] == click["click_id"]
    assert (lead["form"], lead["utm_source"], lead["consent"]) == ("newsletter", "daily", "granted")
    key = demo.values["email_key"].encode()
    assert lead["email_hash"] == hmac.new(key, b"jane@mail.example", hashlib.sha256).hexdigest()
    assert credited(demo, "spring") == [
        {
            "model": model,
            "campaign": "spring",
            "affiliate": "daily",
            "touch": click["id"],
            "value": 59_900_000,
        }
        for model in ("first_click", "last_click")
    ]
    assert demo.server.posted[-2] == ("/newsletter", {"name": "Jane Doe", "email": "Jane@Mail.example"})
    assert visitor.complaints == []


def test_where_browsers_withhold_the_cookie_the_link_hands_the_visitor_over(
    demo: Demo, visitor: Visitor
) -> None:
    walk(visitor.page, f"{demo.ads}/ad?campaign=autumn&consent=granted", "joe@mail.example")
    _ad, click, landing, lead = touches(demo.values, "autumn", 4)
    assert click["visitor_id"] == landing["visitor_id"] == lead["visitor_id"] == visitor_of(demo, visitor)
    assert lead["click_id"] == click["click_id"]
    assert {one["touch"] for one in credited(demo, "autumn")} == {click["id"]}
    assert visitor.complaints == []


def test_without_that_the_site_remembers_its_own_on_the_clicks_route(demo: Demo, visitor: Visitor) -> None:
    with visitor.page.expect_response("**/i.gif"):
        visitor.page.goto(f"{demo.far}/c/bare?campaign=bare&sub1=granted")
    click, landing = touches(demo.values, "bare", 2)
    assert landing["visitor_id"] == visitor_of(demo, visitor)
    assert landing["visitor_id"][:4] == click["click_id"][:4]
    assert visitor.complaints == []


def visitor_of(demo: Demo, visitor: Visitor) -> str:
    """The visitor as the shop's site remembers them; a later page, without a click, is still theirs."""
    with visitor.page.expect_response("**/i.gif"):
        visitor.page.goto(f"{demo.store}/landing?campaign=later&consent=granted")
    known = str(visitor.memory()["visitor"])
    await_rows(
        demo.values, f"SELECT 1 FROM impressions WHERE campaign = 'later' AND visitor_id = '{known}'", 1
    )
    return known


def test_commands_given_before_the_snippet_is_there_are_carried_out(demo: Demo, visitor: Visitor) -> None:
    with visitor.page.expect_response("**/lead"):
        visitor.page.goto(
            f"{demo.shop}/queue?campaign=quiz&consent=&utm_source=mail&funnel_click=7-of-mine#part"
        )
    lead, view = sorted(touches(demo.values, "quiz", 2), key=lambda one: str(one["kind"]), reverse=True)
    assert (view["kind"], view["consent"], view["sub1"]) == ("impression", "granted", "quiz-page")
    assert view["landing_url"].endswith("funnel_click=7-of-mine")
    assert len(lead["email_hash"]) == len(lead["phone_hash"]) == 64
    assert (lead["form"], lead["value"], lead["currency"], lead["click_id"]) == (
        "quiz",
        2_500_000,
        "EUR",
        "7-of-mine",
    )
    assert visitor.complaints == []


def test_what_somebody_wrote_into_a_link_costs_no_event(demo: Demo, visitor: Visitor) -> None:
    with visitor.page.expect_response("**/lead"):
        visitor.page.goto(
            f"{demo.shop}/queue?campaign=forged&funnel_click=a@b.example&utm_source={'x' * 600}"
        )
    lead, view = sorted(touches(demo.values, "forged", 2), key=lambda one: str(one["kind"]), reverse=True)
    assert (view["utm_source"], lead["utm_source"], lead["click_id"]) == ("", "x" * 100, "")
    assert visitor.complaints == []
