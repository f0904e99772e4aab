"""`funnel init`: topics, then tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from deploy.settings import clickhouse_settings
from deploy.topics import create_topics
from sinks.clickhouse.client import connect
from sinks.clickhouse.migrate import apply_migrations
from sinks.clickhouse.retention import GOES, apply_retention


def initialise(values: Mapping[str, Any]) -> Iterator[str]:
    """Create what is missing and yield a line on each part. Raises TopicsError, MigrationError or ClickHouseError."""
    partitions = create_topics(values)
    yield f"topics: co-partitioned, {partitions} partitions each"
    settings = clickhouse_settings(values)
    connection = connect(settings)
    try:
        applied = apply_migrations(connection, settings)
        changed = apply_retention(connection, settings)
    finally:
        connection.close()
    yield f"tables: {', '.join(applied)} applied" if applied else "tables: up to date"
    if changed:
        kept = f"{settings.retention_days} days" if settings.retention_days else "for ever"
        yield f"journal: {', '.join(GOES)} rows are kept {kept}"
