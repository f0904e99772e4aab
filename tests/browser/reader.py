"""Answers queries with an unmodified clickhouse_connect. Runs in the environment of tests/contract/bi, not in ours.

The first line of its input says where to connect, each further line is a query; each is answered with a line: names and rows as JSON.
"""

import json
import sys

import clickhouse_connect


def main() -> None:
    client = clickhouse_connect.get_client(**json.loads(sys.stdin.readline()))
    for line in sys.stdin:
        result = client.query(json.loads(line))
        answer = [dict(zip(result.column_names, row, strict=True)) for row in result.result_rows]
        print(json.dumps(answer, default=str), flush=True)


if __name__ == "__main__":
    main()
