"""The views for BI tools, each with what its columns mean. Every figure is defined once, here; the migration holds what this renders.

`python -m sinks.clickhouse.semantic` prints the statements. A change here needs a new migration: a test says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sinks.clickhouse.sql import literal
from sinks.clickhouse.versions import in_force

KEYS = {
    "minute": "Minute in which it happened, UTC",
    "day": "Day on which it happened, UTC",
    "window": "The stretch that ends now",
    "minutes": "Length of the window; sort by it",
    "since": "Begin of the window, UTC",
    "campaign": "Campaign; empty where none was named",
    "affiliate": "Affiliate; empty where none was named",
    "offer": "Offer; empty where none was named",
    "channel": "Channel group; unattributed where no click earned the credit",
    "model": "Attribution model, in the version in force. Take one at a time: each credits the same conversions",
    "currency": "ISO 4217. Take one at a time; empty where no money is known",
    "first_currency": "1 in one row of each group. With several currencies, impressions, clicks and leads repeat: sum them where this is 1",
}
COUNTS = {
    "impressions": "Impressions, without known bots",
    "clicks": "Clicks, without known bots",
    "leads": "Leads, without known bots",
    "conversions": "Pending and approved conversions in this currency",
}
MONEY = {
    "revenue": "Value of pending and approved conversions",
    "payout": "What affiliates get for them",
    "spend": "Imported advertising costs (funnel costs import)",
}
RATIOS = {
    "cost": ("payout + spend", "Payout and spend"),
    "margin": ("revenue - cost", "Revenue less cost"),
    "ctr": ("clicks / nullIf(impressions, 0)", "Click-through rate: clicks per impression"),
    "lead_rate": ("leads / nullIf(clicks, 0)", "Leads per click"),
    "cr": ("conversions / nullIf(clicks, 0)", "Conversion rate: conversions per click"),
    "epc": ("toFloat64(revenue) / nullIf(clicks, 0)", "Earnings per click: revenue per click"),
    "cpc": ("toFloat64(cost) / nullIf(clicks, 0)", "Cost per click"),
    "cpl": ("toFloat64(cost) / nullIf(leads, 0)", "Cost per lead"),
    "cac": ("toFloat64(cost) / nullIf(conversions, 0)", "Customer acquisition cost: cost per conversion"),
    "roas": (
        "toFloat64(revenue) / nullIf(toFloat64(cost), 0)",
        "Return on advertising spend: revenue per cost",
    ),
    "margin_rate": ("toFloat64(margin) / nullIf(toFloat64(revenue), 0)", "Margin per revenue"),
}
"""Formula and meaning. Where the divisor is 0 the figure is NULL."""
EARLY = ("ctr", "lead_rate", "cr", "epc")
"""The figures that need no costs: those come by the day."""

COUNTED, CREDITED = "r.model = ''", "r.model = 'last_click'"
"""Whose conversions: as their partners reported them, or by the click that earned them."""
_DATABASE = "${database}."


@dataclass(frozen=True, slots=True)
class View:
    """A view: its query, what it answers, and what each column means."""

    name: str
    comment: str
    sql: str
    columns: Mapping[str, str]

    def statements(self) -> Iterator[str]:
        """Yield the statements that make it, with the placeholders of migrations."""
        # No list of columns: its comments would bring the types along, and the query knows those.
        yield f"CREATE OR REPLACE VIEW ${{database}}.{self.name} ${{on_cluster}} AS\n{self.sql}"
        yield commented(self.name, self.comment, self.columns)


def commented(name: str, comment: str, columns: Mapping[str, str]) -> str:
    """Return the statement that says what a view and its columns mean."""
    parts = [f"COMMENT COLUMN {column} {literal(meaning)}" for column, meaning in columns.items()]
    parts.insert(0, f"MODIFY COMMENT {literal(comment)}")
    return f"ALTER TABLE ${{database}}.{name} ${{on_cluster}}\n    " + ",\n    ".join(parts)


def decimal(micros: str) -> str:
    """Return money in units of its currency, exact to the micro."""
    return f"CAST(toDecimal128({micros}, 6) / 1000000 AS Decimal(18, 6))"


def _formulas(names: Sequence[str]) -> str:
    return ",\n    ".join(f"{RATIOS[name][0]} AS {name}" for name in names)


def _branch(table: str, cut: Mapping[str, str], conversions: str, where: str) -> str:
    """Return the query of a rollup's rows, in micros; ``cut`` maps keys to expressions."""
    keys = ", ".join(f"{expression} AS {key}" for key, expression in cut.items())
    counted = conversions == COUNTED
    converted = (
        "toFloat64(sumIf(r.conversions_pending + r.conversions_approved, r.model = ''))"
        if counted
        else f"sumIf(r.credit_weight, {conversions}) / 1e9"
    )
    where += "" if counted else f"\n        AND {in_force('r', _DATABASE)}"
    touches = ", ".join(
        f"sumIf(r.{name}, r.model = '' AND r.bot = 0) AS {name}"
        for name in ("impressions", "clicks", "leads")
    )
    return (
        f"SELECT {keys}, r.currency AS currency, {touches},\n"
        f"        {converted} AS conversions,\n"
        f"        sumIf(r.revenue, {conversions}) AS revenue, sumIf(r.payout, {conversions}) AS payout, toInt64(0) AS spend\n"
        f"    FROM ${{database}}.{table} AS r WHERE r._source = '' AND ({COUNTED} OR {conversions}){where} GROUP BY ALL"
    )


def _costs(keys: Sequence[str]) -> str:
    return (
        f"SELECT {', '.join(f'c.{key} AS {key}' for key in keys)}, c.currency AS currency, toInt64(0) AS impressions, toInt64(0) AS clicks,\n"
        "        toInt64(0) AS leads, toFloat64(0) AS conversions, toInt64(0) AS revenue, toInt64(0) AS payout, sum(c.amount) AS spend\n"
        "    FROM ${database}.costs AS c FINAL GROUP BY ALL"
    )


def _figures(
    keys: Sequence[str], branches: Sequence[str], money: Sequence[str], ratios: Sequence[str]
) -> str:
    """Return a query over ``branches``: one row per group and currency, the touches of the group repeated in each."""
    group = ", ".join(keys)
    union = "\n    UNION ALL\n    ".join(branches)
    amounts = ", ".join(f"{decimal(f'{name}_micros')} AS {name}" for name in money)
    touches = ", ".join(
        f"sum(sum(u.{name})) OVER whole AS {name}" for name in ("impressions", "clicks", "leads")
    )
    sums = ", ".join(f"sum(u.{name}) AS {name}_micros" for name in MONEY)
    return f"""SELECT {group}, currency, first_currency, {", ".join(COUNTS)},
    {amounts},
    {_formulas(ratios)}
FROM
(
    SELECT {group}, currency, {touches}, sum(u.conversions) AS conversions,
        {sums}, max(currency) OVER whole AS last,
        currency = minIf(currency, currency != '') OVER whole AS first_currency
    FROM
    (
    {union}
    ) AS u
    GROUP BY {group}, currency
    WINDOW whole AS (PARTITION BY {group})
)
WHERE currency != '' OR last = ''"""


def _described(keys: Sequence[str], money: Sequence[str], ratios: Sequence[str]) -> dict[str, str]:
    return {
        **{key: KEYS[key] for key in (*keys, "currency", "first_currency")},
        **COUNTS,
        **{name: MONEY[name] for name in money},
        **{name: RATIOS[name][1] for name in ratios},
    }


def _daily(name: str, keys: Sequence[str], conversions: str, comment: str, has_costs: bool) -> View:
    """Return a view by day. Costs are known by day and campaign: where there are none of a group's, payout is all the cost."""
    cut = {key: "toDate(r.bucket)" if key == "day" else f"toString(r.{key})" for key in keys}
    branches = [_branch("rollup_day", cut, conversions, ""), *([_costs(keys)] if has_costs else [])]
    money = tuple(MONEY) if has_costs else ("revenue", "payout")
    ratios = tuple(RATIOS)
    sql = _figures(keys, branches, money, ratios)
    if not has_costs:
        sql = sql.replace(RATIOS["cost"][0], "payout")
    described = _described(keys, money, ratios)
    if not has_costs:
        described["cost"] = "Payout: advertising costs are known by campaign only"
    return View(name, comment, sql, described)


def _live() -> View:
    cut = {"minute": "r.bucket"}
    branch = _branch("rollup_minute", cut, COUNTED, " AND r.bucket >= now() - INTERVAL 1 HOUR")
    keys, money = ("minute",), ("revenue", "payout")
    comment = "The funnel of the last hour by minute, as it is counted. Moves with the clock."
    return View(
        "funnel_live", comment, _figures(keys, [branch], money, EARLY), _described(keys, money, EARLY)
    )


WINDOWS = (
    *((f"{minutes} minutes" if minutes > 1 else "1 minute", minutes) for minutes in (1, 5, 15, 60)),
    ("24 hours", 1_440),
    ("7 days", 10_080),
    ("30 days", 43_200),
)
"""Name and length in minutes. From 7 days on their begin is that of an hour."""


def _rolling() -> View:
    branches = []
    for name, minutes in WINDOWS:
        fine = minutes <= 1_440
        since = (
            f"toStartOfMinute(now('UTC')) - INTERVAL {minutes - 1} MINUTE"
            if fine
            else f"toStartOfHour(now('UTC')) - INTERVAL {minutes // 60 - 1} HOUR"
        )
        cut = {"window": literal(name), "minutes": f"toUInt32({minutes})", "since": since}
        table = "rollup_minute" if fine else "rollup_hour"
        branches.append(_branch(table, cut, COUNTED, f" AND r.bucket >= {since}"))
    keys, money = ("window", "minutes", "since"), ("revenue", "payout")
    comment = "The funnel of the last 1, 5, 15 and 60 minutes, 24 hours, 7 and 30 days, the current minute (from 7 days on: hour) included."
    return View("rolling", comment, _figures(keys, branches, money, EARLY), _described(keys, money, EARLY))


def _attribution() -> View:
    keys = ("model", "day", "campaign", "affiliate", "offer", "channel", "currency")
    sql = f"""SELECT r.model AS model, toDate(r.bucket) AS day, r.campaign AS campaign, r.affiliate AS affiliate, r.offer AS offer,
    r.channel AS channel, r.currency AS currency, sum(r.credit_weight) / 1e9 AS conversions,
    {decimal("sum(r.revenue)")} AS revenue, {decimal("sum(r.payout)")} AS payout
FROM ${{database}}.rollup_day AS r
WHERE r.model != '' AND r._source = ''
    AND {in_force("r", _DATABASE)}
GROUP BY ALL"""
    described = {
        **{key: KEYS[key] for key in keys},
        "day": "Day of the conversion, UTC",
        "conversions": "Pending and approved conversions credited; parts where a model shares",
        **{name: MONEY[name] for name in ("revenue", "payout")},
    }
    return View("attribution", "Credit as it stands now, by model and day of the conversion.", sql, described)


_CREDITED = f"""SELECT toMonday(j.touch_at) AS click_week, intDiv(toMonday(j.occurred_at) - click_week, 7) AS weeks, j.currency AS currency,
        sum(j.sign * j.weight) / 1e9 AS won, sum(j.sign * ifNull(j.value, 0)) AS micros
    FROM ${{database}}.journal AS j
    WHERE j.kind = 'credit' AND j.model = 'last_click' AND j.status IN ('pending', 'approved') AND j.channel != 'unattributed'
        AND {in_force("j", _DATABASE)}
    GROUP BY click_week, weeks, currency
    HAVING won != 0 OR micros != 0"""


def _cohorts() -> View:
    sql = f"""SELECT click_week, weeks AS weeks_after, currency, clicks, won AS conversions,
    sum(won) OVER so_far AS conversions_so_far, {decimal("micros")} AS revenue, {decimal("sum(micros) OVER so_far")} AS revenue_so_far,
    conversions_so_far / nullIf(clicks, 0) AS cr_so_far,
    toUInt8(click_week + 7 * (weeks + 1) <= toDate(now('UTC'))) AS mature
FROM
(
    {_CREDITED}
) AS credited
LEFT JOIN
(
    SELECT toMonday(r.bucket) AS week, sum(r.clicks) AS clicks
    FROM ${{database}}.rollup_day AS r WHERE r.model = '' AND r._source = '' AND r.bot = 0
    GROUP BY week
) AS clicked ON week = click_week
WINDOW so_far AS (PARTITION BY click_week, currency ORDER BY weeks)"""
    described = {
        "click_week": "Monday of the week of the click, UTC",
        "weeks_after": "Weeks from the click's to the conversion's",
        "currency": KEYS["currency"],
        "clicks": "Clicks of the cohort, without known bots; the same in each of its rows",
        "conversions": "Conversions of the cohort that many weeks after, credited to the last click",
        "conversions_so_far": "Those and the earlier ones",
        "revenue": MONEY["revenue"],
        "revenue_so_far": "That and the earlier weeks'",
        "cr_so_far": "Conversions so far per click of the cohort",
        "mature": "1 where that week is over: only what comes late may still change it",
    }
    return View(
        "cohorts", "Clicks by week, and what became of them in the weeks that followed.", sql, described
    )


def _time_to_convert() -> View:
    seconds = "dateDiff('millisecond', c.touch_at, c.occurred_at) / 1000"
    sql = f"""SELECT toDate(c.occurred_at) AS day, c.campaign AS campaign, c.affiliate AS affiliate, c.offer AS offer, count() AS conversions,
    avg({seconds}) AS mean_seconds, quantileExact(0.5)({seconds}) AS median_seconds, quantileExact(0.9)({seconds}) AS p90_seconds,
    countIf({seconds} < 3600) AS within_hour, countIf({seconds} < 86400) AS within_day, countIf({seconds} < 604800) AS within_week
FROM ${{database}}.credits AS c
WHERE c.model = 'last_click' AND c.channel != 'unattributed' AND c.status IN ('pending', 'approved')
GROUP BY ALL"""
    described = {
        **{key: KEYS[key] for key in ("day", "campaign", "affiliate", "offer")},
        "conversions": "Pending and approved conversions that have a last click",
        "mean_seconds": "From the last click to the conversion",
        "median_seconds": "Half of them took no longer",
        "p90_seconds": "Nine of ten took no longer",
        "within_hour": "Conversions less than an hour after the click",
        "within_day": "Conversions less than 24 hours after the click",
        "within_week": "Conversions less than 7 days after the click",
    }
    return View("time_to_convert", "How long it takes from the last click to the conversion.", sql, described)


STATUS_DAYS = {
    "conversion": (
        "Day of the conversion, UTC",
        "Conversions by status and day of the conversion, as they are counted.",
    ),
    "approval": (
        "Day on which it was approved, or was the last time, UTC",
        "Conversions that were ever approved by status now and day of approval, as they are counted.",
    ),
    "click": (
        "Day of the click (under models that look at others: touch) that earned the credit, UTC",
        "Conversions by status and day of the click that earned them. What no click earned is not here.",
    ),
}
"""What each basis calls a day, and what its view answers."""


def _by_status(basis: str) -> View:
    day, comment = STATUS_DAYS[basis]
    credited = basis == "click"
    keys = (*(("model",) if credited else ()), "day", "campaign", "affiliate", "offer", "channel", "currency")
    cut = ", ".join(f"r.{key} AS {key}" for key in (*keys, "status") if key != "day")
    conversions = "sum(r.credit_weight) / 1e9" if credited else "sum(r.conversions)"
    measures = {
        "conversions": "Conversions credited; parts where a model shares"
        if credited
        else "Conversions counted",
        "value": "Recognised value credited: 0 unless pending or approved"
        if credited
        else "Value as reported, whatever the status",
        "payout": "Recognised payout credited: 0 unless pending or approved"
        if credited
        else "Payout as reported, whatever the status",
        **(
            {}
            if credited
            else {"flagged": "Those that came to their status in a way that is flagged (see conversions)"}
        ),
    }
    flagged = "" if credited else ", sum(r.flagged) AS flagged"
    valid = f"\n    AND {in_force('r', _DATABASE)}" if credited else ""
    sql = f"""SELECT toDate(r.bucket) AS day, {cut},
    {conversions} AS conversions, {decimal("sum(r.value)")} AS value, {decimal("sum(r.payout)")} AS payout{flagged}
FROM ${{database}}.rollup_status AS r
WHERE r._source = '' AND r.basis = {literal(basis)}{valid}
GROUP BY ALL
HAVING conversions != 0 OR value != 0 OR payout != 0"""
    described = {
        **{key: KEYS[key] for key in keys},
        "day": day,
        "status": "pending, approved, rejected or reversed",
    }
    return View(f"status_by_{basis}", comment, sql, {**described, **measures})


VIEWS = (
    _live(),
    _daily("funnel_daily", ("day",), COUNTED, "The funnel by day, as it is counted, with costs.", True),
    _daily(
        "campaigns",
        ("day", "campaign"),
        CREDITED,
        "Campaigns by day; conversions are those whose last click they own.",
        True,
    ),
    _daily(
        "affiliates",
        ("day", "affiliate"),
        CREDITED,
        "Affiliates by day; conversions are those whose last click they own.",
        False,
    ),
    _daily(
        "offers",
        ("day", "offer"),
        CREDITED,
        "Offers by day; conversions are those whose last click they own.",
        False,
    ),
    _attribution(),
    _cohorts(),
    _time_to_convert(),
    _rolling(),
    *map(_by_status, STATUS_DAYS),
)
DESCRIBED = {
    "leads": (
        "Leads as they came, one row each.",
        {
            "email_hash": "Keyed hash of the address",
            "value": "Micros",
            "bot": "1 for a known crawler",
        },
    ),
    "conversions": (
        "The state of each transaction now, one row each.",
        {
            "status": "pending, approved, rejected or reversed",
            "value": "Micros",
            "payout": "Micros",
            "recognised_value": "Micros; 0 unless pending or approved",
            "recognised_payout": "Micros; 0 unless pending or approved",
            "revision": "Events of the transaction so far",
            "approved_at": "Since when it is approved, or was the last time; NULL if never, or counted before that was kept",
            "flag": "What is wrong with the last change of status or amount; empty if nothing is",
        },
    ),
}
"""Older views that get comments."""


def render() -> str:
    """Return all statements as the text of a migration."""
    made = [statement for view in VIEWS for statement in view.statements()]
    told = [commented(name, *told) for name, told in DESCRIBED.items()]
    return "".join(f"{statement};\n\n" for statement in (*made, *told))


if __name__ == "__main__":
    print(render(), end="")
