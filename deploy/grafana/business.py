"""The dashboard for marketers: the funnel now and by day, who brings what, and who is credited with it. It reads the views of docs/bi.md alone."""

from grafana_foundation_sdk.builders.dashboard import Dashboard, QueryVariable
from grafana_foundation_sdk.models.dashboard import VariableRefresh

from deploy.grafana.panels import CLICKHOUSE, HALF, Question, board, compared, figure, over_time, rows
from sinks.clickhouse.semantic import RATIOS

DAYS = "day BETWEEN toDate($__fromTime) AND toDate($__toTime)"
ONE_CURRENCY = "currency = ${currency:sqlstring}"
UNITS = {"ctr": "percentunit", "cr": "percentunit", "lead_rate": "percentunit", "margin_rate": "percentunit"}
_TOUCHES = ("impressions", "clicks", "leads")


def business() -> Dashboard:
    """Return the dashboard."""
    parts = {
        "The last 24 hours": [
            _lately("Impressions", "impressions", "short"),
            _lately("Clicks", "clicks", "short"),
            _lately("Leads", "leads", "short"),
            _lately("Conversions", "conversions", "short"),
            _lately("Revenue", "revenue", "none"),
            _lately("Conversion rate", "cr", "percentunit"),
        ],
        "The last hour": [
            _live("Clicks and leads", ("clicks", "leads")),
            _live("Conversions", ("conversions",)),
        ],
        "By day": [_money(), _rates()],
        "Who brings what": [_partners("campaign"), _partners("affiliate")],
        "Who is credited": [_models(), _channels()],
        "How long it takes": [_cohorts(), _times()],
    }
    one = board(
        "funnel-business", "Funnel: business", "What the funnel brings, and who brings it.", "now-30d", parts
    )
    return one.with_variable(
        QueryVariable("currency")
        .label("Currency")
        .description("Money of several currencies is never added up")
        .datasource(CLICKHOUSE)
        .query("SELECT DISTINCT currency FROM funnel_daily WHERE currency != '' ORDER BY currency")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def _lately(title: str, name: str, unit: str) -> object:
    # Impressions, clicks and leads repeat for each currency, and are there without one, too.
    chosen = "r.first_currency = 1" if name in _TOUCHES else f"r.{ONE_CURRENCY}"
    sql = f"SELECT sumIf(r.{name}, {chosen}) AS {name} FROM rolling AS r WHERE r.window = '24 hours'"
    return figure(title, "The last 24 hours, this minute included", unit, Question(sql))


def _live(title: str, names: tuple[str, ...]) -> object:
    # A minute's conversions are those of all currencies: counts may be added up.
    sums = ", ".join(
        f"sumIf(l.{name}, l.first_currency = 1) AS {name}" if name in _TOUCHES else f"sum(l.{name}) AS {name}"
        for name in names
    )
    sql = f"SELECT l.minute AS time, {sums} FROM funnel_live AS l GROUP BY time ORDER BY time"
    return over_time(
        title, "By minute, without known bots", "short", Question(sql, over_time=True), bars=True
    )


def _money() -> object:
    sql = (
        "SELECT toDateTime(day) AS time, revenue, cost, margin FROM funnel_daily "
        f"WHERE {DAYS} AND {ONE_CURRENCY} ORDER BY day"
    )
    return over_time(
        "Revenue, cost and margin", "Cost: payouts and imported costs", "none", Question(sql, over_time=True)
    )


def _rates() -> object:
    sql = f"SELECT toDateTime(day) AS time, ctr, lead_rate, cr FROM funnel_daily WHERE {DAYS} AND {ONE_CURRENCY} ORDER BY day"
    meaning = "Clicks per impression, leads per click, conversions per click"
    return over_time("Rates", meaning, "percentunit", Question(sql, over_time=True))


def _partners(key: str) -> object:
    """By campaign or affiliate: sums over the time shown, and the figures of docs/bi.md over those sums."""
    money = ("conversions", "revenue", "payout", *(("spend",) if key == "campaign" else ()))
    sums = [f"sumIf(d.{name}, d.first_currency = 1) AS {name}" for name in _TOUCHES]
    sums += [f"sumIf(d.{name}, d.{ONE_CURRENCY}) AS {name}" for name in money]
    formulas = {name: RATIOS[name][0] for name in ("cost", "margin", "ctr", "cr", "epc", "cac", "roas")}
    if key == "affiliate":
        formulas["cost"] = "payout"
    shown = ", ".join(f"{formula} AS {name}" for name, formula in formulas.items())
    sql = (
        f"SELECT {key}, impressions, clicks, leads, conversions, revenue, {shown}\n"
        f"FROM (SELECT d.{key} AS {key}, {', '.join(sums)} FROM {key}s AS d WHERE d.{DAYS} GROUP BY {key})\n"
        "ORDER BY revenue DESC, clicks DESC LIMIT 100"
    )
    meaning = "Conversions are those whose last click they own, in the chosen currency"
    return rows(f"{key.capitalize()}s", meaning, Question(sql), UNITS)


def _models() -> object:
    sql = (
        f"SELECT model, sum(a.revenue) AS revenue FROM attribution AS a WHERE a.{DAYS} AND a.{ONE_CURRENCY} "
        "AND a.channel = 'affiliate' GROUP BY model ORDER BY model"
    )
    meaning = "The same conversions, credited by each model: what of their revenue it gives to affiliates"
    return compared("Affiliates' revenue by model", meaning, "none", Question(sql))


def _channels() -> object:
    sql = (
        "SELECT channel, model, sum(a.conversions) AS conversions, sum(a.revenue) AS revenue FROM attribution AS a "
        f"WHERE a.{DAYS} AND a.{ONE_CURRENCY} GROUP BY channel, model ORDER BY channel, model"
    )
    return rows("Channels by model", "Each model credits the same conversions", Question(sql), {}, HALF)


def _cohorts() -> object:
    sql = (
        "SELECT click_week, weeks_after, clicks, conversions_so_far, revenue_so_far, cr_so_far, mature\n"
        f"FROM cohorts WHERE {ONE_CURRENCY} ORDER BY click_week DESC, weeks_after LIMIT 200"
    )
    meaning = "Clicks by week, and what became of them so far; not mature: still under way"
    return rows("Cohorts", meaning, Question(sql), {"cr_so_far": "percentunit"}, HALF)


def _times() -> object:
    sql = (
        "SELECT day, campaign, affiliate, conversions, median_seconds, p90_seconds\n"
        f"FROM time_to_convert WHERE {DAYS} ORDER BY day DESC, conversions DESC LIMIT 200"
    )
    units = {"median_seconds": "s", "p90_seconds": "s"}
    return rows("From click to conversion", "From the last click", Question(sql), units, HALF)
