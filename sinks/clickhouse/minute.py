"""The minute rollup (docs/rules.md, section 8)."""

from sinks.clickhouse.rollup import Branch, Rollup

DIMENSIONS = ("campaign", "affiliate", "offer", "channel", "country", "device", "bot")
STATUSES = ("pending", "approved", "rejected", "reversed")
MEASURES = (
    "impressions",
    "clicks",
    "leads",
    *(f"conversions_{status}" for status in STATUSES),
    "revenue",
    "revenue_approved",
    "payout",
    "payout_approved",
    "credit_weight",
)

_KEYS = {
    "bucket": "toDateTime(intDiv(toUnixTimestamp64Milli(occurred_at), 60000) * 60, 'UTC')",
    **{name: name for name in DIMENSIONS},
}
_RECOGNISED = "status IN ('pending', 'approved')"
_APPROVED = "status = 'approved'"
_MONEY = {
    f"{measure}{suffix}": f"sumIf(sign * ifNull({column}, 0), {condition})"
    for measure, column in (("revenue", "value"), ("payout", "payout"))
    for suffix, condition in (("", _RECOGNISED), ("_approved", _APPROVED))
}

_TOUCHES = Branch(
    ("impression", "click", "lead"),
    _KEYS,
    {
        "impressions": "toInt64(countIf(kind = 'impression'))",
        "clicks": "toInt64(countIf(kind = 'click'))",
        "leads": "toInt64(countIf(kind = 'lead'))",
        "visitors": "uniqCombined64State(visitor_id)",
    },
)
_COUNTS = Branch(
    ("count",),
    {**_KEYS, "currency": "currency"},
    {**{f"conversions_{status}": f"sumIf(sign, status = '{status}')" for status in STATUSES}, **_MONEY},
)
_CREDITS = Branch(
    ("credit",),
    {**_KEYS, "currency": "currency", "model": "model"},
    {"credit_weight": f"sumIf(sign * weight, {_RECOGNISED})", **_MONEY},
)

# Of the same type as the columns: a union of different string types would unfold every dictionary.
_EMPTY = "toLowCardinality('')"

MINUTE = Rollup(
    name="minute",
    table="rollup_minute",
    defaults={
        "bucket": "toDateTime(0, 'UTC')",
        **dict.fromkeys(DIMENSIONS[:-1], _EMPTY),
        "bot": "toUInt8(0)",
        **dict.fromkeys(("currency", "model", "_source"), _EMPTY),
        **dict.fromkeys(MEASURES, "toInt64(0)"),
        "visitors": "arrayReduce('uniqCombined64State', emptyArrayString())",
        "_fence": "toInt64(0)",
        "_owner": "toUInt64(0)",
    },
    branches=(_TOUCHES, _COUNTS, _CREDITS),
)
