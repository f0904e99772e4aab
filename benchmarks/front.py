"""Rows per second through the embedded ClickHouse front, beside inserting the same block inside the engine's process.

`python -m benchmarks.front` prints one JSON line. The block has 50,000 rows of 30 columns like the journal's; it is
packed once, so that neither the driver's nor the engine's work at making it is measured. What is in the table
afterwards is compared, by count and by a checksum over all columns, with what went in.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from deploy.embedded.clickhouse import ClickHouseServer
from deploy.embedded.clickhouse.blocks import BLOCK_INFO
from deploy.embedded.clickhouse.wire import text, varint

BLOCK_ROWS = 50_000
BLOCKS = 40
# Name, type, and how the block's value follows from the row's number.
COLUMNS = (
    ("_source", "LowCardinality(String)", "concat('cluster/clicks/', toString(number % 4))"),
    ("_offset", "Int64", "number"),
    ("_owner", "UInt64", "42"),
    ("kind", "Enum8('impression' = 1, 'click' = 2, 'lead' = 3, 'conversion' = 4)", "number % 4 + 1"),
    ("event_id", "UUID", "reinterpretAsUUID(sipHash128(number))"),
    ("occurred_at", "DateTime64(3, 'UTC')", "fromUnixTimestamp64Milli(1700000000000 + number * 7, 'UTC')"),
    ("received_at", "DateTime64(3, 'UTC')", "fromUnixTimestamp64Milli(1700000000500 + number * 7, 'UTC')"),
    ("visitor_id", "String", "substring(hex(sipHash128(number % 9000)), 1, 30)"),
    ("click_id", "String", "if(number % 4 = 1, substring(hex(sipHash128(number)), 1, 30), '')"),
    ("lead_id", "String", "if(number % 4 = 2, substring(hex(sipHash128(number)), 1, 30), '')"),
    ("campaign", "LowCardinality(String)", "concat('campaign-', toString(number % 300))"),
    ("affiliate", "LowCardinality(String)", "concat('affiliate-', toString(number % 120))"),
    ("offer", "LowCardinality(String)", "concat('offer-', toString(number % 40))"),
    ("creative", "LowCardinality(String)", "concat('creative-', toString(number % 500))"),
    ("channel", "LowCardinality(String)", "concat('channel-', toString(number % 9))"),
    ("utm_source", "LowCardinality(String)", "concat('source-', toString(number % 20))"),
    ("referrer", "String", "concat('https://example.org/page/', toString(number % 5000))"),
    ("landing_url", "String", "concat('https://shop.example/landing?c=', toString(number % 300))"),
    ("sub1", "String", "toString(number % 1000)"),
    ("sub2", "String", "if(number % 3 = 0, toString(number % 77), '')"),
    ("ip", "IPv6", "toIPv6(concat('2001:db8::', hex(number % 65536)))"),
    ("browser", "LowCardinality(String)", "concat('browser-', toString(number % 12))"),
    ("os", "LowCardinality(String)", "concat('os-', toString(number % 7))"),
    ("device", "LowCardinality(String)", "concat('device-', toString(number % 4))"),
    ("country", "LowCardinality(String)", "concat('C', toString(number % 60))"),
    ("bot", "Bool", "number % 50 = 0"),
    ("consent", "Nullable(Bool)", "if(number % 5 = 0, NULL, number % 2 = 0)"),
    ("value_micros", "Int64", "number * 1000"),
    ("payout_micros", "Int64", "number * 300"),
    ("currency", "LowCardinality(FixedString(3))", "'EUR'"),
)
NAMES = ", ".join(name for name, _, _ in COLUMNS)
CREATE = (
    f"CREATE TABLE journal ({', '.join(f'{name} {kind}' for name, kind, _ in COLUMNS)}) "
    "ENGINE = MergeTree ORDER BY (kind, campaign, occurred_at)"
)
BLOCK = (
    f"SELECT {', '.join(f'CAST({value} AS {kind}) AS {name}' for name, kind, value in COLUMNS)} "
    f"FROM numbers({BLOCK_ROWS}) SETTINGS max_block_size = {BLOCK_ROWS}, max_threads = 1"
)
CHECK = f"SELECT count(), sum(cityHash64({NAMES})) FROM journal"


def main() -> int:
    """Returns 0 if everything arrived as it was sent."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.front", description=__doc__)
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="inserts of 50,000 rows")
    parser.add_argument("--in-process", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_process:
        print(json.dumps(in_process(options.in_process, options.blocks)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        beside = run_beside(Path(folder), options.blocks)
        through = through_front(Path(folder), options.blocks)
    verified = through["check"] == beside["check"] and through["check"][0] == BLOCK_ROWS * options.blocks
    rates = [BLOCK_ROWS * options.blocks / run["seconds"] for run in (through, beside)]
    figures = {
        "benchmark": "front",
        "rows_per_second": round(rates[0]),
        "in_process_rows_per_second": round(rates[1]),
        "ratio": round(rates[0] / rates[1], 3),
        "cpu_seconds_per_million_rows": per_million(through["cpu_seconds"], options.blocks),
        "in_process_cpu_seconds_per_million_rows": per_million(beside["cpu_seconds"], options.blocks),
        "bytes_per_row": round(beside["block_bytes"] / BLOCK_ROWS, 1),
        "verified": verified,
    }
    print(json.dumps(figures))
    return 0 if verified else 1


def run_beside(folder: Path, blocks: int) -> Any:
    """Make the block and insert it inside an engine's process; a process of its own, as engines do not share one."""
    command = [sys.executable, "-m", "benchmarks.front", "--blocks", str(blocks), "--in-process", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def in_process(folder: Path, blocks: int) -> dict[str, Any]:
    """Insert the block from a file in memory, as the front does, without the front."""
    from deploy.embedded.clickhouse.engine import Context, Engine

    engine = Engine(folder / "in-process")
    with tempfile.TemporaryDirectory(dir=_memory()) as spill:
        block = bytes(engine.control.query(BLOCK, Context()).view)
        (folder / "block").write_bytes(block)
        file = Path(spill) / "block.native"
        engine.control.query(CREATE, Context())
        engine.control.query("SYSTEM STOP MERGES", Context())

        def insert() -> None:
            file.write_bytes(block)
            engine.control.query(
                f"INSERT INTO journal ({NAMES}) FROM INFILE '{file}' FORMAT Native", Context()
            )

        def reset() -> None:
            engine.control.query("TRUNCATE TABLE journal", Context())

        seconds, cpu_seconds = timed(insert, blocks, reset, os.getpid())
    check = [int(value) for value in engine.control.rows(CHECK, Context())[0]]
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "check": check, "block_bytes": len(block)}


def through_front(folder: Path, blocks: int) -> dict[str, Any]:
    """Insert the same block over the native protocol, with an unmodified driver that is handed packed bytes."""
    from clickhouse_driver import Client

    packed = varint(2) + text("") + BLOCK_INFO + (folder / "block").read_bytes()
    end = varint(2) + text("") + BLOCK_INFO + varint(0) + varint(0)
    with ClickHouseServer(folder / "front") as server, Client(server.host, server.port) as client:
        client.execute(CREATE)
        client.execute("SYSTEM STOP MERGES")

        def insert() -> None:
            link = client.connection
            link.send_query(f"INSERT INTO journal ({NAMES}) VALUES")
            link.send_external_tables(None)
            client.receive_sample_block()
            link.socket.sendall(packed)
            link.socket.sendall(end)
            client.receive_end_of_insert_query()

        assert server.pid is not None
        seconds, cpu_seconds = timed(
            insert, blocks, lambda: client.execute("TRUNCATE TABLE journal"), server.pid
        )
        check = [int(value) for value in client.execute(CHECK)[0]]
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "check": check}


def timed(
    insert: Callable[[], None], times: int, reset: Callable[[], object], pid: int
) -> tuple[float, float]:
    """Wall and CPU seconds (of the process that holds the engine) for that many inserts.

    A first one is not counted and does not stay.
    """
    insert()
    reset()
    process = psutil.Process(pid)
    start, before = time.perf_counter(), process.cpu_times()
    for _ in range(times):
        insert()
    after = process.cpu_times()
    cpu_seconds = after.user + after.system - before.user - before.system
    return time.perf_counter() - start, cpu_seconds


def per_million(seconds: float, blocks: int) -> float:
    return round(seconds * 1_000_000 / (blocks * BLOCK_ROWS), 2)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    raise SystemExit(main())
