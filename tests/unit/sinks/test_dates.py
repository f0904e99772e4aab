"""The driver keeps the dates that occurred, not those of four centuries."""

import subprocess
import sys
from datetime import date

from clickhouse_driver.columns.datecolumn import Date32Column, DateColumn

import sinks.clickhouse.client  # noqa: F401 - with it the driver is told

COUNT = """
import sinks.clickhouse.client
from clickhouse_driver.columns.datecolumn import DateColumn
print(len(DateColumn.date_lut) + len(DateColumn.date_lut_reverse))
"""


def test_no_dates_before_one_occurs() -> None:
    """In a process of its own: others may have met some."""
    assert subprocess.check_output([sys.executable, "-c", COUNT], text=True) == "0\n"


def test_dates_are_what_they_were() -> None:
    for column in (DateColumn, Date32Column):
        assert column.date_lut[20_000] == date(2024, 10, 4)
        assert column.date_lut_reverse[date(1969, 12, 31)] == -1
