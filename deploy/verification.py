"""`funnel verify`: the oracle's numbers against ClickHouse's."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.backlog import Backlog, backlog_of
from deploy.drained import NotDrained, wait_until_drained
from deploy.progress import bar
from deploy.settings import attribution_models, clickhouse_settings, event_bounds, registry_settings
from schemas.framing import schema_id_of
from schemas.remote import SchemaRegistry
from schemas.topics import TOPICS
from simulator.acknowledged import read_acknowledged
from simulator.kafka import read_log
from simulator.log import Log
from simulator.oracle.compute import Rules, compute
from simulator.oracle.given import Given
from simulator.report import Report, render
from simulator.verify import verify as compare
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.journal import known_sources
from streams.broker import LogEnds, describe_cluster
from streams.sources import name_sources

HOUR_MS = 3_600_000


def compare_now(values: Mapping[str, Any], console: Console, acknowledged: Path | None) -> Report:
    """Compare now, print the report and return it."""
    connection = connect(clickhouse_settings(values))
    try:
        return compare_with(values, console, connection, acknowledged)
    finally:
        connection.close()


def wait_and_verify(
    values: Mapping[str, Any],
    console: Console,
    acknowledged: Path | None,
    watch: Callable[[], None] = lambda: None,
) -> list[str]:
    """Wait until nothing is on its way any more, then verify; return what is wrong, in words.

    ``watch`` is called while waiting and may raise to end it.
    """
    connection = connect(clickhouse_settings(values))
    try:
        standstill = _wait(values, console, connection, watch)
        return standstill + compare_with(values, console, connection, acknowledged).problems
    finally:
        connection.close()


def _wait(
    values: Mapping[str, Any], console: Console, connection: Connection, watch: Callable[[], None]
) -> list[str]:
    cluster = describe_cluster(values["kafka"], TOPICS)
    lines = [(topic, number) for topic in TOPICS for number in range(cluster.partitions[topic])]
    ends = LogEnds(values["kafka"], lines)
    started = time.monotonic()
    try:
        with console.status("waiting until all of it is in the journal and the rollup") as status:

            def show(backlog: Backlog) -> None:
                status.update(f"{backlog.records:,} records to land, {backlog.derive:,} to derive")
                watch()

            wait_until_drained(lambda: backlog_of(connection, cluster, ends), show)
    except NotDrained as error:
        console.print(f"[red]{error}[/]", highlight=False)
        return [str(error)]
    finally:
        ends.close()
    console.print(f"drained {time.monotonic() - started:.1f} s after the last event", highlight=False)
    return []


def compare_with(
    values: Mapping[str, Any], console: Console, connection: Connection, acknowledged: Path | None
) -> Report:
    """Compare over ``connection``, print the report and return it. ``acknowledged`` names a file of ids to look for."""
    rules = Rules(
        dedup_window_ms=values["dedup_window_hours"] * HOUR_MS,
        models=attribution_models(values),
        person_limit=values["person_limit"],
        bounds=event_bounds(values),
        country_mmdb=Path(values["geo_country_mmdb"]) if values["geo_country_mmdb"] else None,
        asn_mmdb=Path(values["geo_asn_mmdb"]) if values["geo_asn_mmdb"] else None,
    )
    known = read_acknowledged(acknowledged) if acknowledged is not None and acknowledged.exists() else {}
    with bar(console) as progress:
        reading = progress.add_task("reading Kafka's log", total=None)
        log = read_log(values["kafka"], progress=lambda count: progress.advance(reading, count))
        log = log._replace(topic_ids=_ids_in_use(values, connection))
        total = sum(len(span.records) for span in log.lines.values())
        progress.update(reading, total=total, completed=total)
        computing = progress.add_task("computing by the rules", total=total)
        rules = replace(rules, given=_given(values, log))
        result = compute(log, rules, lambda count: progress.advance(computing, count))
        progress.update(computing, completed=total)
        comparing = progress.add_task("comparing with ClickHouse", total=total)
        report = compare(
            result, connection.query, known, progress=lambda count: progress.advance(comparing, count)
        )
        progress.update(comparing, completed=total)
    console.print(render(report))
    console.print("[green]verified: every number agrees[/]" if report.ok else "[bold red]not verified[/]")
    return report


def _ids_in_use(values: Mapping[str, Any], connection: Connection) -> dict[str, str]:
    """Return the topic ids that stand in the journal's names of sources. Raises TopicsError, KafkaAway."""
    cluster = describe_cluster(values["kafka"], TOPICS)
    named = name_sources(cluster, [(topic, 0) for topic in TOPICS], known_sources(connection, cluster.id))
    return {topic: cluster.topic_ids[topic] for (topic, _), name in named.items() if name.count("/") == 3}


def _given(values: Mapping[str, Any], log: Log) -> dict[int, Given] | None:
    """Return what the ids in ``log`` stand for in the Schema Registry, None where the checked-in ids hold. Raises RegistryError."""
    settings = registry_settings(values)
    if not settings.url:
        return None
    ids = {schema_id_of(record.value) for span in log.lines.values() for record in span.records}
    registry = SchemaRegistry(settings)
    try:
        found = {number: registry.find(number) for number in ids if number is not None}
    finally:
        registry.close()
    return {number: Given(json.dumps(one.schema), one.topics) for number, one in found.items() if one}
