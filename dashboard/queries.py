"""The page's questions as SQL. What comes from a URL goes into parameters; names come from the tables here."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from dashboard.filters import DAY, METRICS, Filters
from sinks.clickhouse.versions import in_force

ROWS = 12
"""Of a table on the page."""
CSV_ROWS = 10_000
RECOGNISED = "r.conversions_pending + r.conversions_approved"


class Query(NamedTuple):
    """A statement and what is bound to its parameters."""

    sql: str
    parameters: Mapping[str, Any]


def _bound(filters: Filters) -> dict[str, Any]:
    return {
        "start": filters.start,
        "end": filters.end,
        "zone": filters.zone,
        "currency": filters.currency,
        "model": filters.model,
        "bots": int(filters.bots),
        **filters.dimensions,
    }


def _where(filters: Filters) -> str:
    wanted = [f"r.{name} = %({name})s" for name in filters.dimensions]
    wanted += [
        "r._source = ''",
        "r.bucket >= toDateTime(%(start)s, 'UTC')",
        "r.bucket < toDateTime(%(end)s, 'UTC')",
        in_force("r"),
    ]
    return " AND ".join(wanted)


def _touches() -> str:
    return ", ".join(
        f"sumIf(r.{name}, r.model = '' AND (r.bot = 0 OR %(bots)s = 1)) AS {name}"
        for name in ("impressions", "clicks", "leads")
    )


def _money(condition: str) -> str:
    return ", ".join(
        f"sumIf(r.{name}, {condition} AND r.currency = %(currency)s) AS {name}"
        for name in ("revenue", "payout")
    )


def is_credited(filters: Filters) -> bool:
    """Whether conversions are those credited to the touches looked at. Without a filter they are all, as counted."""
    return bool(filters.dimensions)


def _sums(filters: Filters, credited: bool) -> str:
    if credited:
        condition = "r.model = %(model)s"
        return f"{_touches()}, sumIf(r.credit_weight, {condition}) / 1e9 AS conversions, {_money(condition)}"
    counted = f"toFloat64(sumIf({RECOGNISED}, r.model = '')) AS conversions"
    return f"{_touches()}, {counted}, " + _money("r.model = ''")


def _cut(filters: Filters) -> str:
    if filters.step == DAY:
        return "toUnixTimestamp(toStartOfDay(r.bucket, %(zone)s))"
    return f"intDiv(toUnixTimestamp(r.bucket), {filters.step}) * {filters.step}"


def series(filters: Filters) -> Query:
    """Points over time: at, impressions, clicks, leads, conversions, revenue, payout (micros)."""
    sql = (
        f"SELECT toInt64({_cut(filters)}) AS at, {_sums(filters, is_credited(filters))} "
        f"FROM {filters.table} AS r WHERE {_where(filters)} AND r.model IN ('', %(model)s) GROUP BY at ORDER BY at"
    )
    return Query(sql, _bound(filters))


def currencies(filters: Filters) -> Query:
    """Currencies with money in the stretch, the one with most conversions first."""
    sql = (
        f"SELECT r.currency AS currency, sum({RECOGNISED}) AS n FROM {filters.table} AS r "
        f"WHERE r._source = '' AND r.model = '' AND r.currency != '' AND r.bucket >= toDateTime(%(start)s, 'UTC') "
        "AND r.bucket < toDateTime(%(end)s, 'UTC') GROUP BY currency ORDER BY n DESC, currency"
    )
    return Query(sql, _bound(filters))


_ORDER = {
    **{name: name for name in METRICS},
    "ctr": "clicks / nullIf(impressions, 0)",
    "cr": "conversions / nullIf(clicks, 0)",
    "epc": "revenue / nullIf(clicks, 0)",
}


def tops(filters: Filters, rows: int = ROWS) -> Query:
    """The best by the metric: name, the sums, and the metric's numerator over time as (at, value)."""
    spark = {"ctr": "clicks", "cr": "conversions", "epc": "revenue"}.get(filters.metric, filters.metric)
    order = _ORDER[filters.metric]
    sql = (
        f"SELECT name, sum(i.impressions), sum(i.clicks), sum(i.leads), sum(i.conversions), sum(i.revenue), sum(i.payout), "
        f"arraySort(groupArray((i.at, toFloat64(i.{spark})))) FROM (SELECT toString(r.{filters.top}) AS name, "
        f"toInt64({_cut(filters)}) AS at, {_sums(filters, True)} FROM {filters.table} AS r "
        f"WHERE {_where(filters)} AND r.model IN ('', %(model)s) GROUP BY name, at) AS i WHERE name != '' GROUP BY name "
        f"ORDER BY {_summed(order)} DESC NULLS LAST, name LIMIT {rows}"
    )
    return Query(sql, _bound(filters))


def _summed(order: str) -> str:
    for name in ("impressions", "clicks", "leads", "conversions", "revenue", "payout"):
        order = order.replace(name, f"sum(i.{name})")
    return order


def models(filters: Filters) -> Query:
    """The same conversions under every model: model, name, conversions, revenue."""
    sql = (
        f"SELECT toString(r.model), toString(r.{filters.top}) AS name, sum(r.credit_weight) / 1e9 AS conversions, "
        f"sumIf(r.revenue, r.currency = %(currency)s) AS revenue FROM {filters.table} AS r "
        f"WHERE {_where(filters)} AND r.model != '' GROUP BY r.model, name ORDER BY conversions DESC, name LIMIT 400"
    )
    return Query(sql, _bound(filters))


def seconds(now: int, minutes: int) -> Query:
    """The last ``minutes`` by second: at, impressions, clicks, leads, conversions. From the journal, which has them first."""
    sql = (
        "SELECT toInt64(toUnixTimestamp(j.occurred_at)) AS at, countIf(j.kind = 'impression'), countIf(j.kind = 'click'), "
        "countIf(j.kind = 'lead'), countIf(j.kind = 'conversion') FROM journal AS j "
        "WHERE j.kind IN ('impression', 'click', 'lead', 'conversion') AND j._record_time >= toDateTime64(%(since)s, 3, 'UTC') "
        "AND j.occurred_at >= toDateTime64(%(since)s, 3, 'UTC') AND j.occurred_at < toDateTime64(%(now)s + 5, 3, 'UTC') GROUP BY at ORDER BY at"
    )
    return Query(sql, {"since": now - 60 * minutes, "now": now})


FRESHNESS = Query(
    """
    SELECT toString(f.source), toUnixTimestamp64Milli(f.at), toUnixTimestamp64Milli(f.record), f.last - ifNull(d.fence, -1)
    FROM (SELECT _source AS source, max(_ingested_at) AS at, argMax(_record_time, _offset) AS record, max(_offset) AS last
          FROM journal WHERE kind = 'flush' GROUP BY source) AS f
    LEFT JOIN (SELECT _source AS source, max(_fence) AS fence FROM rollup_minute WHERE _source != '' GROUP BY source) AS d
    ON f.source = d.source ORDER BY 1
    """,
    {},
)
"""Per source: its last flush, the time of that flush's last record (both ms), and how many offsets the rollup is behind."""


def options(filters: Filters) -> Query:
    """What there is to choose from: dimension, value, most frequent first."""
    branches = " UNION ALL ".join(
        f"SELECT * FROM (SELECT '{name}' AS dimension, toString(r.{name}) AS value, sum(r.impressions + r.clicks + r.leads) AS n "
        f"FROM rollup_day AS r WHERE r._source = '' AND r.{name} != '' GROUP BY value ORDER BY n DESC, value LIMIT 200)"
        for name in ("campaign", "affiliate", "offer", "channel", "country", "device")
    )
    return Query(
        f"SELECT dimension, value FROM ({branches}) ORDER BY dimension, n DESC, value", _bound(filters)
    )


def _journal_where(filters: Filters, alias: str) -> str:
    wanted = [f"{alias}.{name} = %({name})s" for name in filters.dimensions]
    wanted += [f"{alias}.occurred_at >= toDateTime64(%(start)s, 3, 'UTC')"]
    wanted += [f"{alias}.occurred_at < toDateTime64(%(end)s, 3, 'UTC')"]
    return " AND ".join(wanted)


def partners(filters: Filters) -> Query:
    """Whose leads become customers: affiliate, leads, sales, revenue, sales taken back, all sales, median seconds to convert.

    Credits are signed, so they are added up as they were issued and taken back: which of them stand need not be found out.
    """
    recognised = "c.status IN ('pending', 'approved')"
    earned = (
        "SELECT toString(c.affiliate) AS affiliate, toInt64(dateDiff('second', c.touch_at, c.occurred_at)) AS seconds, toInt64(sum(c.sign)) AS n, "
        f"sumIf(c.sign * c.weight, {recognised}) AS sales, sumIf(c.sign * ifNull(c.value, 0), {recognised} AND c.currency = %(currency)s) AS money, "
        "sumIf(c.sign * c.weight, c.status = 'reversed') AS lost, sum(c.sign * c.weight) AS total FROM journal AS c "
        f"WHERE c.kind = 'credit' AND c.model = %(model)s AND {in_force('c')} AND c.channel != 'unattributed' AND {_journal_where(filters, 'c')} "
        "GROUP BY affiliate, seconds HAVING n > 0"
    )
    sql = (
        "SELECT affiliate, sum(leads) AS all_leads, sum(sales), sum(money), sum(lost), sum(total), max(median) FROM ("
        "SELECT toString(j.affiliate) AS affiliate, toFloat64(count()) AS leads, 0. AS sales, toInt64(0) AS money, 0. AS lost, "
        "0. AS total, 0. AS median "
        f"FROM journal AS j WHERE j.kind = 'lead' AND (j.bot = 0 OR %(bots)s = 1) AND {_journal_where(filters, 'j')} GROUP BY affiliate "
        "UNION ALL SELECT e.affiliate AS affiliate, 0. AS leads, sum(e.sales) / 1e9 AS sales, toInt64(sum(e.money)) AS money, "
        "sum(e.lost) / 1e9 AS lost, sum(e.total) / 1e9 AS total, "
        "toFloat64(quantileExactWeighted(0.5)(e.seconds, toUInt64(e.n))) AS median "
        f"FROM ({earned}) AS e GROUP BY affiliate"
        f") WHERE affiliate != '' GROUP BY affiliate ORDER BY all_leads DESC, affiliate LIMIT {ROWS}"
    )
    return Query(sql, _bound(filters))


def magnets(filters: Filters) -> Query:
    """Who promotes whose lead magnets: affiliate, form, leads."""
    sql = (
        "SELECT toString(j.affiliate) AS affiliate, toString(j.form) AS form, count() AS n FROM journal AS j "
        f"WHERE j.kind = 'lead' AND (j.bot = 0 OR %(bots)s = 1) AND {_journal_where(filters, 'j')} AND affiliate != '' AND form != '' "
        "GROUP BY affiliate, form ORDER BY n DESC, affiliate, form LIMIT 400"
    )
    return Query(sql, _bound(filters))
