"""What is looked at: the state of the page as it stands in its URL."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DIMENSIONS = ("campaign", "affiliate", "offer", "channel", "country", "device")
MINUTE, HOUR, DAY = 60, 3_600, 86_400
RANGES = {"15m": 15 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY}
DEFAULT_RANGE = "7d"
TOPS = ("campaign", "affiliate", "offer")
METRICS = ("impressions", "clicks", "leads", "conversions", "revenue", "payout", "ctr", "cr", "epc")
RECENT = ("5", "15", "60")
"""Minutes that are shown by second."""
MOST_CHARACTERS = 200
_MOST_DAYS = 366


class FilterError(ValueError):
    """A part of the URL cannot be taken. ``field`` names it."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name} {problem}")
        self.field = name


@dataclass(frozen=True, slots=True)
class Filters:
    """What the page shows. ``start`` and ``end`` are Unix seconds; ``step`` is a point's width in seconds, ``recent`` the minutes shown by second."""

    start: int
    end: int
    step: int
    zone: str = "UTC"
    bots: bool = False
    currency: str = ""
    model: str = "last_click"
    top: str = "campaign"
    metric: str = "clicks"
    recent: int = 5
    dimensions: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The coarsest rollup whose buckets are not cut by the points' edges."""
        offset = _offset(self.zone, self.start)
        if self.step < HOUR or offset % HOUR:
            return "rollup_minute"
        return (
            "rollup_day"
            if self.step == DAY and not _ever_off(self.zone, self.start, self.end)
            else "rollup_hour"
        )


def parse(values: Mapping[str, str], now: int) -> Filters:
    """Return the filters of a query string at ``now`` (Unix seconds). Raises FilterError."""
    known = {"range", "from", "to", "tz", "bots", "currency", "model", "top", "metric", "recent", *DIMENSIONS}
    for name in values:
        if name not in known:
            raise FilterError(name[:40], "is no filter")
    for name, value in values.items():
        if len(value) > MOST_CHARACTERS or "\0" in value:
            raise FilterError(name, f"has more than {MOST_CHARACTERS} characters, or one that is none")
    zone = values.get("tz") or "UTC"
    start, end, step = _stretch(values, _zone(zone), now)
    return Filters(
        start,
        end,
        step,
        zone,
        bots=_one_of(values, "bots", ("0", "1")) == "1",
        currency=_currency(values.get("currency", "")),
        model=values.get("model") or "last_click",
        top=_one_of(values, "top", TOPS),
        metric=_one_of(values, "metric", METRICS, "clicks"),
        recent=int(_one_of(values, "recent", RECENT)),
        dimensions={name: values[name] for name in DIMENSIONS if values.get(name)},
    )


def _one_of(values: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str = "") -> str:
    value = values.get(name) or default or allowed[0]
    if value not in allowed:
        raise FilterError(name, f"is not {', '.join(allowed)}")
    return value


def _currency(text: str) -> str:
    if text and not (len(text) == 3 and text.isascii() and text.isalpha() and text.isupper()):
        raise FilterError("currency", "is no ISO 4217 code")
    return text


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise FilterError("tz", "is no time zone") from None


def _stretch(values: Mapping[str, str], zone: ZoneInfo, now: int) -> tuple[int, int, int]:
    if values.get("from") or values.get("to"):
        return _between(values, zone)
    name = _one_of(values, "range", tuple(RANGES), DEFAULT_RANGE)
    seconds = RANGES[name]
    step = MINUTE if seconds <= HOUR else HOUR if seconds <= 7 * DAY else DAY
    end = now // MINUTE * MINUTE + MINUTE
    start = end - seconds
    if step == HOUR:
        start = start // HOUR * HOUR
    if step == DAY:
        day = datetime.datetime.fromtimestamp(start, zone).date()
        start = _midnight(day, zone)
    return start, end, step


def _between(values: Mapping[str, str], zone: ZoneInfo) -> tuple[int, int, int]:
    days = []
    for name in ("from", "to"):
        try:
            days.append(datetime.date.fromisoformat(values.get(name, "")))
        except ValueError:
            raise FilterError(name, "is no date such as 2026-01-31") from None
    first, last = days
    if not 0 <= (last - first).days < _MOST_DAYS or not 1971 <= first.year <= 2100:
        raise FilterError("to", f"must be from 0 to {_MOST_DAYS - 1} days after from")
    step = HOUR if (last - first).days < 7 else DAY
    return _midnight(first, zone), _midnight(last + datetime.timedelta(days=1), zone), step


def _midnight(day: datetime.date, zone: ZoneInfo) -> int:
    return int(datetime.datetime.combine(day, datetime.time(), zone).timestamp())


def _offset(zone: str, at: int) -> int:
    offset = datetime.datetime.fromtimestamp(at, ZoneInfo(zone)).utcoffset()
    return int(offset.total_seconds()) if offset else 0


def _ever_off(zone: str, start: int, end: int) -> bool:
    """Whether midnight there is ever another one than UTC's; no zone moves its clock for less than a month."""
    return any(_offset(zone, at) for at in (*range(start, end, 14 * DAY), end))
