"""What became of the browser's events, read from ClickHouse."""

import time
from collections.abc import Mapping
from typing import Any

from deploy.settings import clickhouse_settings
from sinks.clickhouse.client import connect

PATIENCE = 120.0
Row = dict[str, Any]


def query(values: Mapping[str, Any], sql: str) -> list[Row]:
    """Return the rows of a query by the names of its columns."""
    connection = connect(clickhouse_settings(values))
    try:
        names, rows = connection.query_named(sql)
        return [dict(zip(names, row, strict=True)) for row in rows]
    finally:
        connection.close()


def await_rows(values: Mapping[str, Any], sql: str, count: int) -> list[Row]:
    """Return the rows of a query once there are ``count`` of them."""
    deadline = time.monotonic() + PATIENCE
    while len(rows := query(values, sql)) < count:
        assert time.monotonic() < deadline, rows
        time.sleep(0.1)
    return rows


def touches(values: Mapping[str, Any], campaign: str, count: int) -> list[Row]:
    """Return the touches of a campaign in order of time, once there are ``count`` of them."""
    return await_rows(
        values,
        f"""SELECT kind, toString(event_id) AS id, visitor_id, click_id, form, email_hash, phone_hash, affiliate, creative, consent, channel, sub1,
        utm_source, referrer, landing_url, value, currency FROM journal
        WHERE kind IN ('impression', 'click', 'lead') AND campaign = '{campaign}' ORDER BY occurred_at, kind""",
        count,
    )
