"""Tables as CSV files."""

import csv
import datetime
import io
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

_SUMS = ("impressions", "clicks", "leads", "conversions")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def top_csv(name: str, currency: str, rows: Sequence[Sequence[Any]]) -> str:
    """Return the table of the best. Money in units of ``currency``."""
    return _csv(
        [name, *_SUMS, "revenue", "payout", "currency"],
        ([cell(row[0]), *_sums(row[1:7], currency)] for row in rows),
    )


def points_csv(zone: str, currency: str, rows: Sequence[Sequence[Any]]) -> str:
    """Return the points over time; times as they are in ``zone``."""
    place = ZoneInfo(zone)
    return _csv(
        ["time", *_SUMS, "revenue", "payout", "currency"],
        (
            [datetime.datetime.fromtimestamp(row[0], place).isoformat(), *_sums(row[1:7], currency)]
            for row in rows
        ),
    )


def cell(text: str) -> str:
    """Return a name as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _sums(row: Sequence[Any], currency: str) -> list[Any]:
    *counts, revenue, payout = row
    return [*(f"{count:.9g}" for count in counts), f"{revenue / 1e6:.6f}", f"{payout / 1e6:.6f}", currency]


def _csv(names: Sequence[str], rows: Any) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue()
