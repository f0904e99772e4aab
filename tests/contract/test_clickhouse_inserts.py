"""Inserts of a client's blocks: types, blocks and parts, deduplication, constraints, clients that vanish."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import pytest
from clickhouse_driver.block import RowOrientedBlock
from clickhouse_driver.errors import ServerException

DAY, MOMENT = date(2024, 2, 29), datetime(2024, 2, 29, 13, 14, 15)
EXACT = MOMENT.replace(microsecond=123000, tzinfo=UTC)
TYPES = [
    ("Int8", [-128, 0, 127]),
    ("Int16", [-(2**15), 2**15 - 1]),
    ("Int32", [-(2**31), 2**31 - 1]),
    ("Int64", [-(2**63), 2**63 - 1]),
    ("Int128", [-(2**127), 2**127 - 1]),
    ("Int256", [-(2**255), 2**255 - 1]),
    ("UInt8", [0, 255]),
    ("UInt16", [0, 2**16 - 1]),
    ("UInt32", [0, 2**32 - 1]),
    ("UInt64", [0, 2**64 - 1]),
    ("UInt128", [0, 2**128 - 1]),
    ("UInt256", [0, 2**256 - 1]),
    ("Float32", [0.5, -1.25, float("inf")]),
    ("Float64", [1e300, -0.1, float("-inf")]),
    ("Bool", [True, False, True]),
    ("String", ["", "x", "ünïcode; 'quoted'\n", "long " * 5000]),
    ("FixedString(3)", ["abc", "EUR"]),
    ("UUID", [UUID(int=0), UUID("61f0c404-5cb3-11e7-907b-a6006ad3dba0")]),
    ("Date", [date(1970, 1, 1), DAY]),
    ("Date32", [date(1925, 1, 1), DAY]),
    ("DateTime", [datetime(1980, 1, 1, 0, 0, 1), MOMENT]),
    ("DateTime64(3, 'UTC')", [EXACT, MOMENT.replace(tzinfo=UTC)]),
    ("DateTime64(6, 'UTC')", [EXACT + timedelta(microseconds=456)]),
    ("Enum8('a' = 1, 'b, (c)' = -2)", ["a", "b, (c)"]),
    ("Enum16('x' = 1000, 'it\\'s' = -1000)", ["x", "it's"]),
    ("Decimal(9, 2)", [Decimal("1234567.89"), Decimal("-0.01")]),
    ("Decimal(18, 6)", [Decimal("123456789012.345678")]),
    ("Decimal(38, 10)", [Decimal("-1234567890123456789012345678.0123456789")]),
    ("Decimal(76, 20)", [Decimal("12345678901234567890123456789012345678901234567890.5")]),
    ("IPv4", [IPv4Address("0.0.0.0"), IPv4Address("192.0.2.17")]),
    ("IPv6", [IPv6Address("::"), IPv6Address("2001:db8::17")]),
    ("Nullable(Int32)", [None, 5, None]),
    ("Nullable(String)", [None, "", "x"]),
    ("Nullable(UUID)", [None, UUID(int=7)]),
    ("Nullable(DateTime64(3, 'UTC'))", [None, EXACT]),
    ("Array(UInt8)", [[], [1, 2, 3], [255]]),
    ("Array(String)", [["a", "b"], [], [""]]),
    ("Array(Nullable(String))", [[None, "x"], []]),
    ("Array(Array(Int16))", [[[1], [], [2, 3]], []]),
    ("Map(String, UInt64)", [{}, {"a": 1, "b": 2}, {"c": 3}]),
    ("Map(String, Array(String))", [{"a": ["x", "y"]}, {}, {"b": []}]),
    ("Tuple(UInt8, String)", [(1, "x"), (2, "")]),
    ("Tuple(a Int32, b Array(Nullable(Int8)))", [(1, [None, 2]), (2, [])]),
    ("LowCardinality(String)", ["a", "b", "a", ""]),
    ("LowCardinality(Nullable(String))", [None, "b", None, "b"]),
    ("LowCardinality(FixedString(3))", ["EUR", "USD", "EUR"]),
    ("Array(LowCardinality(String))", [["a", "b"], [], ["a"]]),
    ("Map(LowCardinality(String), Int8)", [{"a": 1}, {}, {"b": 2, "a": 3}]),
    ("SimpleAggregateFunction(sum, Int64)", [1, -2]),
]


def without_row_ends(client, sql, rows, **options):
    """Send an insert's statement and one block of rows, but not the end of its data."""
    client.establish_connection(options.get("settings") or {})
    client.connection.send_query(sql, query_id=options.get("query_id"))
    client.connection.send_external_tables(None)
    sample = client.receive_sample_block()
    block = type(sample)(sample.columns_with_types, [list(column) for column in zip(*rows, strict=True)])
    client.connection.send_data(block)


class TestTypes:
    @pytest.mark.parametrize(("kind", "values"), TYPES, ids=[kind for kind, _ in TYPES])
    def test_what_goes_in_comes_out(self, client, kind, values):
        client.execute(f"CREATE TABLE t (n UInt32, v {kind}) ENGINE = MergeTree ORDER BY n")
        rows = list(enumerate(values))
        assert client.execute("INSERT INTO t (n, v) VALUES", rows) == len(rows)
        assert client.execute("SELECT n, v FROM t ORDER BY n") == rows
        client.execute("TRUNCATE TABLE t")
        columns = [list(range(len(values))), list(values)]
        assert client.execute("INSERT INTO t (v, n) VALUES", columns[::-1], columnar=True) == len(rows)
        assert client.execute("SELECT n, v FROM t ORDER BY n") == rows

    def test_many_values_of_many_types(self, client):
        """Dictionaries of more than 256 and 65,536 keys, strings of every length, nulls in between."""
        client.execute(
            "CREATE TABLE t (n UInt32, s String, few LowCardinality(String), many LowCardinality(String), "
            "a Array(LowCardinality(Nullable(String))), m Map(String, String)) ENGINE = MergeTree ORDER BY n"
        )
        rows = [
            (n, "x" * (n % 300), f"k{n % 700}", f"{n}", [None, f"{n % 9}"][: n % 3], {f"{n}": "y" * (n % 3)})
            for n in range(70_000)
        ]
        client.execute("INSERT INTO t VALUES", rows)
        assert client.execute("SELECT * FROM t ORDER BY n") == rows


class TestColumns:
    CREATE = (
        "CREATE TABLE t (a UInt8, b String DEFAULT concat('b', toString(a)), c UInt8 MATERIALIZED a + 1, "
        "d UInt8 ALIAS a + 2, `e f` UInt8) ENGINE = MergeTree ORDER BY a"
    )

    def test_without_a_list_all_that_can_be_inserted(self, client):
        client.execute(self.CREATE)
        client.execute("INSERT INTO t VALUES", [(1, "x", 9)])
        assert client.execute("SELECT a, b, c, d, `e f` FROM t") == [(1, "x", 2, 3, 9)]

    def test_missing_columns_get_their_defaults(self, client):
        client.execute(self.CREATE)
        client.execute("INSERT INTO t (a, `e f`) FORMAT Native", [{"e f": 8, "a": 5}])
        assert client.execute("SELECT a, b, c, d, `e f` FROM t") == [(5, "b5", 6, 7, 8)]

    def test_lists_that_are_expressions(self, client):
        client.execute(self.CREATE)
        client.execute("INSERT INTO t (* EXCEPT (b)) VALUES", [(5, 8)])
        assert client.execute("SELECT a, b, `e f` FROM t") == [(5, "b5", 8)]

    @pytest.mark.parametrize(("column", "code"), [("nope", 16), ("c", 44)])
    def test_columns_that_cannot_be_inserted(self, client, column, code):
        client.execute(self.CREATE)
        with pytest.raises(ServerException) as caught:
            client.execute(f"INSERT INTO t (a, {column}) VALUES", [(1, 2)])
        assert caught.value.code == code
        assert column in caught.value.message

    def test_table_names(self, server, client):
        client.execute("CREATE TABLE `odd name` (a UInt8) ENGINE = MergeTree ORDER BY a")
        client.execute(f"INSERT INTO TABLE {server.database}.`odd name` /* here */ (a) VALUES", [(1,)])
        client.execute("insert into \"odd name\" SETTINGS max_threads = 1, log_comment = 'x' values", [(2,)])
        assert client.execute("SELECT a FROM `odd name` ORDER BY a") == [(1,), (2,)]

    def test_unknown_table(self, client):
        with pytest.raises(ServerException) as caught:
            client.execute("INSERT INTO nowhere VALUES", [(1,)])
        assert caught.value.code == 60

    def test_join_table_takes_the_last_row(self, client):
        """The table by which workers own their partitions, and the constraint that asks it."""
        client.execute(
            "CREATE TABLE owners (k String, owner UInt64) ENGINE = Join(ANY, LEFT, k) "
            "SETTINGS join_any_take_last_row = 1"
        )
        client.execute(
            "CREATE TABLE j (k String, owner UInt64, CONSTRAINT mine CHECK "
            "joinGet(currentDatabase() || '.owners', 'owner', k) = owner) ENGINE = MergeTree ORDER BY k"
        )
        for owner in (7, 8):
            client.execute("INSERT INTO owners VALUES", [("a", owner)])
        client.execute("INSERT INTO j VALUES", [("a", 8)])
        with pytest.raises(ServerException) as caught:
            client.execute("INSERT INTO j VALUES", [("a", 7)])
        assert caught.value.code == 469
        assert client.execute("SELECT owner FROM j") == [(8,)]


class TestBlocks:
    CREATE = (
        "CREATE TABLE t (a UInt32, b String, CONSTRAINT good CHECK b != 'bad') ENGINE = MergeTree ORDER BY a "
        "SETTINGS non_replicated_deduplication_window = 100"
    )
    INSERT = "INSERT INTO t (a, b) VALUES"
    PARTS = "SELECT count(), sum(rows) FROM system.parts WHERE active AND table = 't' AND database = currentDatabase()"

    @pytest.mark.parametrize("rows", [1, 50_000, 1_200_000])
    def test_one_block_becomes_one_part(self, connect, rows):
        client = connect(settings={"insert_block_size": 2_000_000})
        client.execute(self.CREATE)
        client.execute(self.INSERT, [list(range(rows)), ["x"] * rows], columnar=True)
        assert client.execute(self.PARTS) == [(1, rows)]

    def test_several_blocks_in_one_insert(self, connect):
        client = connect(settings={"insert_block_size": 1000}, compression="lz4")
        client.execute(self.CREATE)
        assert client.execute(self.INSERT, ((n, str(n)) for n in range(10_500))) == 10_500
        assert client.execute("SELECT count(), sum(a), uniqExact(b) FROM t") == [
            (10_500, sum(range(10_500)), 10_500)
        ]

    def test_no_rows(self, client):
        client.execute(self.CREATE)
        assert client.execute(self.INSERT, []) == 0
        assert client.execute("SELECT count() FROM t") == [(0,)]

    def test_a_bad_row_keeps_its_whole_block_out(self, client):
        client.execute(self.CREATE)
        rows = [(n, "good") for n in range(1000)]
        with pytest.raises(ServerException) as caught:
            client.execute(self.INSERT, [*rows, (1000, "bad")])
        assert caught.value.code == 469
        assert "good" in caught.value.message
        assert client.execute("SELECT count() FROM t") == [(0,)]
        assert client.execute(self.INSERT, rows) == 1000

    def test_the_same_token_lands_once(self, client):
        client.execute(self.CREATE)
        for token, value in (("one", "x"), ("one", "x"), ("two", "x"), ("one", "y")):
            settings = {"insert_deduplication_token": token, "async_insert": 0}
            client.execute(self.INSERT, [(1, value)], settings=settings)
        assert client.execute("SELECT count(), countIf(b = 'y') FROM t") == [(2, 0)]

    def test_the_same_block_lands_once_unless_it_may_not(self, client):
        client.execute(self.CREATE)
        for _ in range(2):
            client.execute(self.INSERT, [(1, "x")])
        assert client.execute("SELECT count() FROM t") == [(1,)]

    def test_insert_from_a_select_with_settings(self, client):
        client.execute(self.CREATE)
        settings = {"max_insert_threads": 1, "max_threads": 2, "insert_deduplication_token": "derive"}
        for _ in range(2):
            client.execute("INSERT INTO t SELECT number, 'x' FROM numbers(100000)", settings=settings)
        assert client.execute(self.PARTS) == [(1, 100_000)]


class TestBrokenOff:
    CREATE = "CREATE TABLE t (a UInt32, b String) ENGINE = MergeTree ORDER BY a"
    INSERT = "INSERT INTO t (a, b) VALUES"

    def test_client_vanishes_between_blocks(self, connect):
        witness, client = connect(), connect()
        witness.execute(self.CREATE)
        without_row_ends(client, self.INSERT, [(n, "x") for n in range(1000)])
        client.disconnect()
        self.settled(witness)

    def test_client_vanishes_inside_a_block(self, connect):
        witness, client = connect(), connect()
        witness.execute(self.CREATE)
        client.execute("SELECT 1")
        client.connection.send_query(self.INSERT)
        client.connection.send_external_tables(None)
        client.receive_sample_block()
        # A data packet of 2 columns and 5 rows that ends in the first column.
        client.connection.socket.sendall(
            b"\x02\x00\x01\x00\x02\xff\xff\xff\xff\x00\x02\x05\x01a\x06UInt32\x01\x02"
        )
        client.connection.socket.close()
        self.settled(witness)

    def test_killed_while_its_data_is_on_the_way(self, server, connect):
        witness, client = connect(), connect()
        witness.execute(self.CREATE)
        without_row_ends(client, self.INSERT, [(1, "x")], settings={"log_comment": f"late {server.database}"})
        killed = witness.execute(
            "KILL QUERY WHERE Settings['log_comment'] LIKE %(comment)s SYNC",
            {"comment": f"late {server.database}%"},
        )
        assert len(killed) == 1
        with suppress(ServerException, EOFError, OSError):
            client.connection.send_data(RowOrientedBlock())
            client.receive_end_of_insert_query()
            pytest.fail("the insert was answered as if it had landed")
        self.settled(witness)

    @staticmethod
    def settled(witness):
        """Nothing of the broken insert is there, and the table still takes rows."""
        assert witness.execute("SELECT count() FROM t") == [(0,)]
        witness.execute("INSERT INTO t (a, b) VALUES", [(5, "whole")])
        assert witness.execute("SELECT * FROM t") == [(5, "whole")]
