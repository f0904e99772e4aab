"""What an unmodified clickhouse_driver expects of a ClickHouse server: connecting, queries, settings, errors."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ErrorCodes, ServerException


def code_of(client: Client, sql: str, **options: Any) -> int:
    """The code of the exception that a statement ends with."""
    with pytest.raises(ServerException) as caught:
        client.execute(sql, **options)
    return int(caught.value.code)


class TestConnecting:
    def test_greeting_names_version_and_timezone(self, client):
        [(version, timezone)] = client.execute("SELECT version(), timezone()")
        info = client.connection.server_info
        assert version.startswith(".".join(map(str, info.version_tuple())))
        assert info.timezone == timezone
        assert info.name == "ClickHouse"

    def test_wrong_password_is_refused(self, connect):
        stranger = connect(password="not it")
        assert code_of(stranger, "SELECT 1") == 516

    def test_unknown_user_is_refused(self, connect):
        stranger = connect(user="nobody_here")
        assert code_of(stranger, "SELECT 1") == 516

    def test_unknown_database_is_refused(self, connect):
        lost = connect(database="no_such_database")
        assert code_of(lost, "SELECT 1") == ErrorCodes.UNKNOWN_DATABASE

    def test_database_belongs_to_the_connection(self, server, connect):
        here, there = connect(), connect(database="default")
        here.execute("CREATE TABLE place (a UInt8) ENGINE = Memory")
        assert here.execute("SELECT currentDatabase()") == [(server.database,)]
        assert there.execute("SELECT currentDatabase()") == [("default",)]
        assert here.execute("SELECT count() FROM place") == [(0,)]
        assert code_of(there, "SELECT count() FROM place") == ErrorCodes.UNKNOWN_TABLE

    def test_use_changes_one_connection(self, server, connect):
        one, other = connect(), connect()
        one.execute("USE default")
        assert one.execute("SELECT currentDatabase()") == [("default",)]
        assert other.execute("SELECT currentDatabase()") == [(server.database,)]

    def test_ping(self, client):
        client.execute("SELECT 1")
        assert client.connection.ping() is True
        assert client.execute("SELECT 2") == [(2,)]

    def test_connections_work_side_by_side(self, connect):
        connect().execute("CREATE TABLE shared (worker UInt8, n UInt32) ENGINE = MergeTree ORDER BY n")

        def work(worker):
            mine = connect(compression="lz4" if worker % 2 else False)
            for start in range(0, 300, 100):
                mine.execute("INSERT INTO shared VALUES", [(worker, n) for n in range(start, start + 100)])
            return mine.execute("SELECT count(), sum(n) FROM shared WHERE worker = %(w)s", {"w": worker})

        with ThreadPoolExecutor(6) as pool:
            results = list(pool.map(work, range(6)))
        assert results == [[(300, sum(range(300)))]] * 6


class TestQueries:
    def test_parameters_are_substituted(self, client):
        parameters = {
            "text": "it's; a \\ 'quote' ünïcode",
            "day": date(2024, 2, 29),
            "many": [1, 2],
            "none": None,
        }
        sql = "SELECT %(text)s, toDate(%(day)s), %(many)s, %(none)s"
        assert client.execute(sql, parameters) == [(parameters["text"], date(2024, 2, 29), [1, 2], None)]

    def test_names_and_types_of_columns(self, client):
        rows, columns = client.execute("SELECT 1 AS one, 'x' AS `two words`", with_column_types=True)
        assert rows == [(1, "x")]
        assert columns == [("one", "UInt8"), ("two words", "String")]

    def test_names_and_types_of_an_empty_result(self, client):
        sql = "SELECT number AS n, toString(number) AS s FROM numbers(5) WHERE n > 9 -- none"
        assert client.execute(sql, with_column_types=True) == ([], [("n", "UInt64"), ("s", "String")])
        rows, columns = client.execute("SHOW TABLES LIKE 'none'", with_column_types=True)
        assert (rows, columns) == ([], [("name", "String")])

    def test_large_results_come_in_several_blocks(self, client):
        columns = client.execute("SELECT number, toString(number) FROM numbers(300000)", columnar=True)
        assert sum(columns[0]) == 300_000 * 299_999 // 2
        assert columns[1] == tuple(map(str, columns[0]))
        assert client.last_query.profile_info.blocks > 1
        assert client.last_query.profile_info.rows == 300_000

    def test_results_can_be_read_row_by_row(self, client):
        rows = client.execute_iter("SELECT number FROM numbers(200000)")
        assert sum(row[0] for row in rows) == 200_000 * 199_999 // 2
        assert client.execute("SELECT 1") == [(1,)]

    def test_progress_counts_rows_read(self, client):
        client.execute("SELECT number FROM numbers(1000)")
        assert client.last_query.progress.rows >= 1000

    def test_format_clause_is_ignored(self, client):
        assert client.execute("SELECT 1 AS format FORMAT JSONEachRow") == [(1,)]
        assert client.execute("SELECT 'a FORMAT b'") == [("a FORMAT b",)]
        assert client.execute("SELECT 3 FORMAT CSV SETTINGS max_threads = 1;") == [(3,)]

    def test_statements_that_are_not_selects(self, client):
        client.execute("CREATE TABLE t (a UInt8, b String DEFAULT 'x') ENGINE = MergeTree ORDER BY a")
        assert client.execute("EXISTS TABLE t") == [(1,)]
        assert client.execute("SHOW TABLES") == [("t",)]
        assert [row[:2] for row in client.execute("DESCRIBE TABLE t")] == [("a", "UInt8"), ("b", "String")]
        client.execute("INSERT INTO t (a) VALUES (1), (2), (3)")
        client.execute("INSERT INTO t SELECT a + 10, 'semi;colon' FROM t")
        client.execute("ALTER TABLE t DELETE WHERE a = 2", settings={"mutations_sync": 1})
        assert client.execute("SELECT * FROM t ORDER BY a") == [
            (1, "x"),
            (3, "x"),
            *((a, "semi;colon") for a in (11, 12, 13)),
        ]
        client.execute("ALTER TABLE t ADD COLUMN c Int64 DEFAULT a * 2")
        assert client.execute("SELECT sum(c) FROM t") == [(80,)]

    def test_tables_can_be_exchanged(self, client):
        for name, value in (("one", 1), ("two", 2)):
            client.execute(f"CREATE TABLE {name} (a UInt8) ENGINE = MergeTree ORDER BY a")
            client.execute(f"INSERT INTO {name} VALUES", [(value,)])
        client.execute("EXCHANGE TABLES one AND two")
        assert client.execute("SELECT a FROM one") == [(2,)]

    def test_bytes_that_are_no_text(self, connect):
        client = connect(settings={"strings_as_bytes": True})
        assert client.execute("SELECT unhex('00ff3b0a')") == [(b"\x00\xff;\n",)]

    def test_long_statements(self, client):
        numbers = ", ".join(map(str, range(30_000)))
        assert client.execute(f"SELECT length([{numbers}])", settings={"max_query_size": 10**6}) == [
            (30_000,)
        ]

    def test_arrow(self, client):
        table = client.query_arrow("SELECT number AS n, toString(number) AS s FROM numbers(100000)")
        assert table.num_rows == 100_000
        assert table.column("s")[99_999].as_py() == "99999"


class TestSettings:
    SHOWN = "SELECT toUInt64(getSetting('max_block_size'))"

    def test_a_query_s_settings_end_with_it(self, client):
        [(default,)] = client.execute(self.SHOWN)
        assert client.execute(self.SHOWN, settings={"max_block_size": 1234}) == [(1234,)]
        assert client.execute(self.SHOWN) == [(default,)]

    def test_set_lasts_and_stays_on_its_connection(self, connect):
        one, other = connect(), connect()
        [(default,)] = other.execute(self.SHOWN)
        one.execute("SET max_block_size = 4321")
        assert other.execute(self.SHOWN) == [(default,)]
        assert one.execute(self.SHOWN, settings={"max_block_size": 7}) == [(7,)]
        assert one.execute(self.SHOWN) == [(4321,)]

    def test_settings_of_a_client_go_with_every_query(self, connect):
        client = connect(settings={"max_block_size": 99, "log_comment": "it's; a 'comment'"})
        sql = f"{self.SHOWN}, getSetting('log_comment')"
        assert client.execute(sql) == [(99, "it's; a 'comment'")]
        assert client.execute(sql) == [(99, "it's; a 'comment'")]

    def test_unknown_setting(self, client):
        assert code_of(client, "SELECT 1", settings={"no_such_setting": 1}) == ErrorCodes.UNKNOWN_SETTING
        assert client.execute("SELECT 1", settings={"max_threads": 1}) == [(1,)]

    def test_a_setting_s_bad_value(self, client):
        with pytest.raises(ServerException):
            client.execute("SELECT 1", settings={"max_block_size": "many"})
        assert client.execute("SELECT 1") == [(1,)]

    def test_time_limit(self, client):
        sql = "SELECT sleepEachRow(0.1) FROM numbers(100)"
        settings = {"max_execution_time": 1, "max_block_size": 1, "max_threads": 1}
        assert code_of(client, sql, settings=settings) == ErrorCodes.TIMEOUT_EXCEEDED

    def test_readonly(self, client):
        client.execute("CREATE TABLE kept (a UInt8) ENGINE = Memory")
        assert client.execute("SELECT count() FROM kept", settings={"readonly": 1}) == [(0,)]
        assert code_of(client, "DROP TABLE kept", settings={"readonly": 1}) == ErrorCodes.READONLY
        assert code_of(client, "INSERT INTO kept VALUES (1)", settings={"readonly": 1}) == ErrorCodes.READONLY
        client.execute("DROP TABLE kept")


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "code", "text"),
        [
            ("SELEC 1", 62, "SELEC"),
            ("SELECT no_such_column", 47, "no_such_column"),
            ("SELECT * FROM no_such_table", 60, "no_such_table"),
            ("SELECT * FROM no_such_database.t", 81, "no_such_database"),
            ("SELECT 1; SELECT 2", 62, "Multi-statements"),
            ("INSERT INTO no_such_table VALUES (1)", 60, "no_such_table"),
            ("SELECT throwIf(number = 3, 'three it is') FROM numbers(5)", 395, "three it is"),
        ],
    )
    def test_code_and_text(self, client, sql, code, text):
        with pytest.raises(ServerException) as caught:
            client.execute(sql)
        assert caught.value.code == code
        assert text in caught.value.message
        assert caught.value.message.startswith("DB::Exception: ")
        assert "front" not in caught.value.message
        assert client.execute("SELECT 1") == [(1,)]

    def test_error_in_the_middle_of_a_result(self, client):
        rows = client.execute_iter(
            "SELECT throwIf(number = 250000) FROM numbers(300000)", settings={"max_threads": 1}
        )
        with pytest.raises(ServerException) as caught:
            for _ in rows:
                pass
        assert caught.value.code == 395
        client.disconnect()
        assert client.execute("SELECT 1") == [(1,)]

    def test_now_is_the_server_s(self, client):
        [(now,)] = client.execute("SELECT now()")
        assert isinstance(now, datetime)
