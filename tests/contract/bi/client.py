"""What an unmodified clickhouse_connect, and SQLAlchemy on top of it, make of a server. Runs in the environment of
requirements.lock, with the address in argv; prints what it got as JSON."""

import json
import sys
from datetime import datetime
from typing import Any

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError
from sqlalchemy import MetaData, Table, create_engine, func, inspect, select, text
from sqlalchemy.engine import URL

ROWS = 70_000


def main() -> None:
    where = json.loads(sys.stdin.read())
    answers = {str(packed): exercise(where, packed) for packed in (False, "lz4", "zstd", "gzip")}
    print(json.dumps({"clickhouse_connect": answers, "sqlalchemy": reflect(where)}))


def exercise(where: dict[str, Any], packed: bool | str) -> dict[str, Any]:
    client = clickhouse_connect.get_client(**where, compress=packed)
    client.command("DROP TABLE IF EXISTS c")
    client.command(
        "CREATE TABLE c (a UInt32, b LowCardinality(String), c Array(Nullable(String)), d DateTime64(3)) "
        "ENGINE = MergeTree ORDER BY a"
    )
    day = datetime(2026, 1, 2, 3, 4, 5)
    rows = [[n, f"text {n % 7}", [None, str(n)], day] for n in range(ROWS)]
    summary = client.insert("c", rows, column_names=["a", "b", "c", "d"])
    read = client.query("SELECT * FROM c WHERE a >= {least:UInt32} ORDER BY a", parameters={"least": 0})
    client.command("SET max_block_size = 77")
    client.command("CREATE TEMPORARY TABLE kept (a UInt8)")
    client.insert("kept", [[7]], column_names=["a"])
    return {
        "written": summary.written_rows,
        "same": [list(row) for row in read.result_rows] == rows,
        "empty": client.query("SELECT a, b FROM c WHERE a > 1e9").column_names,
        "no rows asked for": client.query("SELECT a FROM c LIMIT 0").column_names,
        "session": [
            client.command("SELECT getSetting('max_block_size')"),
            client.command("SELECT a FROM kept"),
        ],
        "raw": client.raw_query("SELECT 1 AS n", fmt="CSVWithNames").decode(),
        "streamed": streamed(client),
        "unknown table": failure(client, "SELECT * FROM no_such_table"),
        "fails later": failure(client, "SELECT throwIf(number = 3000000) FROM numbers(4000000)"),
    }


def streamed(client: Any) -> int:
    with client.query_rows_stream("SELECT number FROM numbers(300000)") as stream:
        return sum(1 for _ in stream)


def failure(client: Any, sql: str) -> int | None:
    try:
        client.query(sql)
    except DatabaseError as error:
        return int(error.code)
    return None


def reflect(where: dict[str, Any]) -> dict[str, Any]:
    address = URL.create(
        "clickhousedb", where["username"], where["password"], where["host"], where["port"], where["database"]
    )
    with create_engine(address).connect() as connection:
        table = Table("c", MetaData(), autoload_with=connection)
        few = select(func.count()).select_from(table).where(table.c.a < 10)
        return {
            "tables": inspect(connection).get_table_names(),
            "columns": [column["name"] for column in inspect(connection).get_columns("c")],
            "few": connection.execute(few).scalar(),
            "bound": connection.execute(text("SELECT count() FROM c WHERE a >= :a"), {"a": 5}).scalar(),
        }


main()
