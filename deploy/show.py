"""What `funnel up` prints when the events are through: the funnel, the best campaigns, and where to look."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deploy.embedded.stack import Stack
from deploy.settings import clickhouse_settings
from sinks.clickhouse.client import connect

FUNNEL = """
SELECT sum(impressions), sum(clicks), sum(leads),
       sum(conversions_pending + conversions_approved + conversions_rejected + conversions_reversed),
       sum(conversions_approved), uniqCombined64Merge(visitors)
FROM rollup_minute WHERE model = ''
"""
MONEY = """
SELECT currency, sum(revenue) / 1e6, sum(payout) / 1e6 FROM rollup_minute
WHERE model = '' AND currency != '' GROUP BY currency ORDER BY 2 DESC
"""
CAMPAIGNS = """
SELECT campaign, sumIf(clicks, model = ''), sumIf(leads, model = ''),
       sumIf(credit_weight, model = 'first_click') / 1e9, sumIf(credit_weight, model = 'last_click') / 1e9
FROM rollup_minute WHERE campaign != '' GROUP BY campaign ORDER BY 5 DESC, 2 DESC, 1 LIMIT 8
"""
READY_QUERY = "SELECT channel, sum(clicks) AS clicks, sum(leads) AS leads FROM funnel_minute GROUP BY channel ORDER BY clicks DESC"


def show_funnel(console: Console, values: Mapping[str, Any]) -> None:
    """Print the funnel with its rates, money per currency, and the campaigns that earned most."""
    connection = connect(clickhouse_settings(values))
    try:
        [(impressions, clicks, leads, conversions, approved, visitors)] = connection.query(FUNNEL)
        money = connection.query(MONEY)
        campaigns = connection.query(CAMPAIGNS)
    finally:
        connection.close()
    table = Table("step", "count", "of the step before", title=f"Funnel of about {visitors:,} visitors")
    steps = (
        ("impressions", impressions),
        ("clicks", clicks),
        ("leads", leads),
        ("conversions", conversions),
        ("approved", approved),
    )
    former = 0
    for name, count in steps:
        table.add_row(name, f"{count:,}", f"{count / former:.1%}" if former else "")
        former = count
    for currency, revenue, payout in money:
        table.add_row(f"revenue {currency}", f"{revenue:,.2f}", f"payout {payout:,.2f}")
    console.print(table)
    best = Table(
        "campaign", "clicks", "leads", "first click", "last click", title="Campaigns by credited conversions"
    )
    for campaign, clicks, leads, first, last in campaigns:
        best.add_row(campaign, f"{clicks:,}", f"{leads:,}", f"{first:,.0f}", f"{last:,.0f}")
    console.print(best)


def show_addresses(console: Console, stack: Stack, values: Mapping[str, Any]) -> None:
    """Print where the parts of a running stack can be reached. Secrets are named by file, never shown."""
    table = Table("what", "where", title="Where to look")
    table.add_row("live page", stack.dashboard_url)
    table.add_row("collector", stack.collector_url)
    for name, address in stack.metrics.items():
        table.add_row(f"metrics of {name}", address)
    table.add_row("Kafka", values["kafka"])
    table.add_row("ClickHouse (native protocol)", f"{values['clickhouse_host']}:{values['clickhouse_port']}")
    table.add_row("ClickHouse (HTTP), for BI tools", stack.clickhouse.http_url)
    table.add_row("its password, and other secrets", str(stack.directory / "secrets.json"))
    table.add_row("logs", str(stack.directory / "logs"))
    console.print(table)
    console.print("From another terminal, while this runs:", highlight=False)
    console.print(f"  {curl_line(stack)}", highlight=False, soft_wrap=True, markup=False)
    for command in (f'query "{READY_QUERY}"', "top"):
        console.print(
            f"  {_program(values)} --embedded {command}", highlight=False, soft_wrap=True, markup=False
        )


def curl_line(stack: Stack) -> str:
    """A call that asks ClickHouse over HTTP, as the read-only user."""
    options = shlex.quote(str(stack.curl_options))
    return (
        f"curl -K {options} '{stack.clickhouse.http_url}/' --data-binary '{READY_QUERY} FORMAT PrettyCompact'"
    )


def _program(values: Mapping[str, Any]) -> str:
    """How to call `funnel` so that it finds this stack from any folder."""
    program = Path(sys.argv[0])
    name = str(program) if program.name == "funnel" else f"{sys.executable} -m deploy.cli"
    return f"FUNNEL_DATA_DIR={shlex.quote(values['data_dir'])} {name}"
