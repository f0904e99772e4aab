"""How long `funnel explain` takes on a large journal, and whether its answers are right.

``python -m benchmarks.explain [--rows N] [--asks N]`` prints one JSON line. The journal is made inside the engine: journeys of 20 rows
(8 impressions, 4 clicks, a lead, a conversion with its count and request, 4 credits), ids as the collector mints them. ``seconds``: p50 and
p99 per kind of id; every id is asked for once. ``verified``: each answer had the journey's transaction, all its touches and its credits.
``insert_rows_per_second``: how fast the engine made it, with all its indexes and projections.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.embedded.clickhouse import ClickHouseServer
from schemas.attribution import default_models
from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.explain import explain
from sinks.clickhouse.migrate import apply_migrations
from sinks.clickhouse.owners import write_owners
from sinks.clickhouse.settings import ClickHouseSettings

ROWS_EACH = 20
CHUNK = 500_000
TOKEN = 4711
SOURCES = 8
LIMIT = 0.2
"""Seconds that an answer may take."""
TOPICS = ("impressions", "clicks", "leads", "conversions", "credit-requests")
SOURCE_NAMES = [f"c1/{topic}/{number}" for topic in TOPICS for number in range(SOURCES)]
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def _letters(number: str, shifts: Sequence[int]) -> str:
    letter = "substring('{0}', bitAnd(bitShiftRight({1}, {2}), 31) + 1, 1)"
    return f"concat({', '.join(letter.format(_ALPHABET, number, shift) for shift in shifts)})"


# The first 20 bits of a hash, as ids have them; see schemas/ids.py.
_HEAD = "bitShiftRight(reinterpretAsUInt32(reverse(substring({}, 1, 4))), 12)"
_ROUTE = _letters(_HEAD.format("SHA256(concat('v', toString(journey)))"), (15, 10, 5, 0))
_HOME = _letters(_HEAD.format("SHA256(concat('p', char(0), 't-', toString(journey)))"), (15, 10, 5, 0))
_TWELVE = [_letters(f"sipHash64(toUInt64({{0}}), {key})", range(0, 60, 5)) for key in (1, 2)]
_TAIL = f"concat({', '.join(_TWELVE)}, 'aa')"
_EVENT = "reinterpretAsUUID(MD5(concat('e', toString({}))))"
_KIND = (
    "multiIf(place < 8, 'impression', place < 12, 'click', place = 12, 'lead', place = 13, 'conversion', place = 14, 'request', "
    "place = 15, 'count', 'credit')"
)
_TOPIC = (
    "multiIf(place < 8, 'impressions', place < 12, 'clicks', place = 12, 'leads', place IN (13, 15), 'conversions', "
    "'credit-requests')"
)
_AT = f"fromUnixTimestamp64Milli(toInt64(start_ms + intDiv(number, {ROWS_EACH}) * step_ms + {{}}), 'UTC')"

COLUMNS: Mapping[str, str] = {
    "kind": _KIND,
    "_source": f"concat('c1/', {_TOPIC}, '/', toString(journey % {SOURCES}))",
    "_offset": f"intDiv(journey, {SOURCES}) * 8 + place % 8",
    "_record_time": _AT.format("place"),
    "_ingested_at": f"fromUnixTimestamp64Milli(toInt64(start_ms + intDiv(number, {CHUNK}) * 1000), 'UTC')",
    "_owner": str(TOKEN),
    "route": f"if(place IN (13, 15), {_HOME}, {_ROUTE})",
    "event_id": f"if(place < 15, {_EVENT.format('number')}, toUUID('00000000-0000-0000-0000-000000000000'))",
    "content": "sipHash64(number)",
    "occurred_at": _AT.format("if(place < 13, place, 13)"),
    "received_at": _AT.format("place"),
    "visitor_id": f"if(place < 13, concat({_ROUTE}, {_TAIL.format('journey')}), '')",
    "click_id": f"if(place >= 8 AND place < 16, concat({_ROUTE}, {_TAIL.format('journey * 20 + if(place < 12, place, 11)')}), '')",
    "lead_id": f"if(place = 12, concat({_ROUTE}, {_TAIL.format('number')}), '')",
    "transaction_id": "if(place >= 13, concat('t-', toString(journey)), '')",
    "campaign": "concat('campaign-', toString(journey % 300))",
    "affiliate": "concat('affiliate-', toString(journey % 120))",
    "channel": "'affiliate'",
    "referrer": "concat('https://example.org/page/', toString(number % 5000))",
    "partner": "if(place >= 13, 'p', '')",
    "status": "if(place >= 13, 'approved', '')",
    "status_at": _AT.format("13"),
    "currency": "if(place >= 13, 'EUR', '')",
    "value": "if(place >= 13, toInt64(4000000), NULL)",
    "payout": "if(place >= 13, toInt64(400000), NULL)",
    "sign": "if(place >= 15, 1, 0)",
    "revision": "if(place IN (14, 15), 1, 0)",
    "model": "if(place >= 16, 'linear', '')",
    "model_version": f"if(place >= 16, {default_models()[0].version}, 0)",
    "weight": "if(place >= 16, 250000000, 0)",
    "touch_id": f"if(place >= 16, {_EVENT.format('number - 8')}, toUUID('00000000-0000-0000-0000-000000000000'))",
    "touch_at": _AT.format("place - 8"),
    "touch_kind": "if(place >= 16, 'click', '')",
}
IDS = {
    "event": "toString(" + _EVENT.format("journey * 20 + 10") + ")",
    "sale event": "toString(" + _EVENT.format("journey * 20 + 13") + ")",
    "visitor": f"concat({_ROUTE}, {_TAIL.format('journey')})",
    "click": f"concat({_ROUTE}, {_TAIL.format('journey * 20 + 11')})",
    "lead": f"concat({_ROUTE}, {_TAIL.format('journey * 20 + 12')})",
    "transaction": "concat('t-', toString(journey))",
}


def main() -> None:
    """Run the benchmark and print its line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--asks", type=int, default=40)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="funnel-bench-") as directory,
        ClickHouseServer(Path(directory) / "data") as server,
    ):
        connection = connect(ClickHouseSettings(host=server.host, port=server.port, database="funnel"))
        result = measured(connection, arguments.rows, arguments.asks)
        connection.close()
    print(json.dumps(result))
    sys.exit(0 if result["verified"] else 1)


def measured(connection: Connection, rows: int, asks: int) -> dict[str, Any]:
    """Return the figures of a journal of ``rows`` rows."""
    apply_migrations(connection, connection.settings)
    began = time.perf_counter()
    fill(connection, rows)
    filled = time.perf_counter() - began
    [[stored]] = connection.query("SELECT count() FROM journal")
    seconds: dict[str, Any] = {}
    verified = stored == rows
    for kind, expression in IDS.items():
        times = []
        for number in range(asks):
            journey = (number * 7919 + 13) % (rows // ROWS_EACH)
            [[identifier]] = connection.query(f"WITH {journey} AS journey SELECT {expression}")
            began = time.perf_counter()
            found = explain(connection, identifier)
            times.append(time.perf_counter() - began)
            verified = verified and is_right(found, journey)
        seconds[kind] = {"p50": _quantile(times, 0.5), "p99": _quantile(times, 0.99)}
    return {
        "benchmark": "explain",
        "rows": stored,
        "asks": asks * len(IDS),
        "seconds": seconds,
        "worst_p50": max(one["p50"] for one in seconds.values()),
        "worst_p99": max(one["p99"] for one in seconds.values()),
        "limit": LIMIT,
        "insert_rows_per_second": round(rows / filled),
        "verified": verified,
    }


def fill(connection: Connection, rows: int, start_ms: int = 1_760_000_000_000, step_ms: int = 10) -> None:
    """Make ``rows`` rows of the journal in the engine: a journey every ``step_ms`` from ``start_ms`` on."""
    write_owners(connection, SOURCE_NAMES, TOKEN)
    values = ", ".join(f"{expression} AS {name}" for name, expression in COLUMNS.items())
    for start in range(0, rows, CHUNK):
        connection.execute(
            f"INSERT INTO journal ({', '.join(COLUMNS)}) SELECT {', '.join(COLUMNS)} FROM ("
            f"WITH {start_ms} AS start_ms, {step_ms} AS step_ms, intDiv(number, {ROWS_EACH}) AS journey, number % {ROWS_EACH} AS place "
            f"SELECT {values} FROM numbers({start}, {min(CHUNK, rows - start)})) "
            "SETTINGS min_insert_block_size_rows = 500000, max_insert_threads = 1"
        )


def is_right(found: Mapping[str, Any], journey: int) -> bool:
    """Return whether the answer holds the whole of a journey."""
    if len(found["transactions"]) != 1:
        return False
    [one] = found["transactions"]
    [model] = one["credits"] or [{"credits": []}]
    shares = sum(share["value"] for share in model["credits"])
    return (one["transaction_id"], len(one["journey"]), len(one["ledger"]), shares) == (
        f"t-{journey}",
        13,
        4,
        4_000_000 * 4,
    )


def _quantile(times: Sequence[float], share: float) -> float:
    return round(sorted(times)[min(int(len(times) * share), len(times) - 1)], 4)


if __name__ == "__main__":
    main()
