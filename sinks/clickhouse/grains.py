"""The rollups: by minute, hour and day, of the same columns over the same rows; and by status and day (docs/rules.md, section 9)."""

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


_RECOGNISED = "status IN ('pending', 'approved')"
_APPROVED = "status = 'approved'"
_MONEY = {
    f"{measure}{suffix}": f"sumIf(sign * ifNull({column}, 0), {condition})"
    for measure, column in (("revenue", "value"), ("payout", "payout"))
    for suffix, condition in (("", _RECOGNISED), ("_approved", _APPROVED))
}
_TOUCHES = {
    "impressions": "toInt64(countIf(kind = 'impression'))",
    "clicks": "toInt64(countIf(kind = 'click'))",
    "leads": "toInt64(countIf(kind = 'lead'))",
    "visitors": "uniqCombined64State(visitor_id)",
}
_COUNTS = {**{f"conversions_{status}": f"sumIf(sign, status = '{status}')" for status in STATUSES}, **_MONEY}
_MODEL = {"model": "model", "model_version": "model_version"}
_CREDITS = {"credit_weight": f"sumIf(sign * weight, {_RECOGNISED})", **_MONEY}

# Of the same type as the columns: a union of different string types would unfold every dictionary.
_EMPTY = "toLowCardinality('')"
_DEFAULTS = {
    "bucket": "toDateTime(0, 'UTC')",
    **dict.fromkeys(DIMENSIONS[:-1], _EMPTY),
    "bot": "toUInt8(0)",
    **dict.fromkeys(("currency", "model", "_source"), _EMPTY),
    "model_version": "toUInt16(0)",
    **dict.fromkeys(MEASURES, "toInt64(0)"),
    "visitors": "arrayReduce('uniqCombined64State', emptyArrayString())",
    "_fence": "toInt64(0)",
    "_owner": "toUInt64(0)",
}


def _rollup(name: str, seconds: int) -> Rollup:
    """Return the rollup with buckets of ``seconds``."""
    bucket = f"toDateTime(intDiv(toUnixTimestamp64Milli(occurred_at), {seconds * 1000}) * {seconds}, 'UTC')"
    keys = {"bucket": bucket, **{dimension: dimension for dimension in DIMENSIONS}}
    branches = (
        Branch(("impression", "click", "lead"), keys, _TOUCHES),
        Branch(("count",), {**keys, "currency": "currency"}, _COUNTS),
        Branch(("credit",), {**keys, "currency": "currency", **_MODEL}, _CREDITS),
    )
    return Rollup(name, f"rollup_{name}", _DEFAULTS, branches)


STATUS_MEASURES = ("conversions", "credit_weight", "value", "payout", "flagged")
_STATUS_DEFAULTS = {
    **dict.fromkeys(("basis", "status"), _EMPTY),
    **{name: sql for name, sql in _DEFAULTS.items() if name not in (*MEASURES, "visitors")},
    **dict.fromkeys(STATUS_MEASURES, "toInt64(0)"),
}
_OF_STATUS = {measure: f"sum(sign * ifNull({measure}, 0))" for measure in ("value", "payout")}


def _by_status() -> Rollup:
    """Return the rollup of conversions by status and day: the day of the conversion, of its approval, or of the touch that earned it."""

    def branch(basis: str, kind: str, time: str, more: dict[str, str], condition: str = "1") -> Branch:
        bucket = f"toDateTime(intDiv(toUnixTimestamp64Milli({time}), 86400000) * 86400, 'UTC')"
        dimensions = {name: name for name in (*DIMENSIONS, "currency", "status")}
        model = _MODEL if kind == "credit" else {}
        measures = {"basis": f"toLowCardinality('{basis}')", **_OF_STATUS, **more}
        return Branch((kind,), {"bucket": bucket, **dimensions, **model}, measures, condition)

    counted = {"conversions": "sum(toInt64(sign))", "flagged": "sumIf(toInt64(sign), flag != '')"}
    credited = {"credit_weight": "sum(sign * weight)"}
    branches = (
        branch("conversion", "count", "occurred_at", counted),
        branch("approval", "count", "approved_at", counted, "approved_at > toDateTime64(0, 3, 'UTC')"),
        branch("click", "credit", "touch_at", credited, "channel != 'unattributed'"),
    )
    return Rollup("status", "rollup_status", _STATUS_DEFAULTS, branches)


MINUTE, HOUR, DAY = _rollup("minute", 60), _rollup("hour", 3_600), _rollup("day", 86_400)
STATUS = _by_status()
GRAINS = (MINUTE, HOUR, DAY)
COARSE = (HOUR, DAY, STATUS)
ROLLUPS = (MINUTE, *COARSE)
