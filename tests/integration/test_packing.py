"""Packed blocks and frames read back: whatever goes in comes out, on a real engine."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sinks.clickhouse.client import Connection, connect
from sinks.clickhouse.columns import Column, UnpackableType
from sinks.clickhouse.pack import pack_block
from sinks.clickhouse.settings import ClickHouseSettings

COLUMNS = [
    Column("n", "UInt64"),
    Column("u8", "UInt8"),
    Column("u16", "UInt16"),
    Column("u32", "UInt32"),
    Column("i8", "Int8"),
    Column("i64", "Int64"),
    Column("f64", "Float64"),
    Column("at", "DateTime64(3, 'UTC')"),
    Column("kind", "Enum8('a' = 1, 'it''s' = -3, 'c' = 7)"),
    Column("some_id", "UUID"),
    Column("fixed", "FixedString(4)"),
    Column("wide", "FixedString(20)"),
    Column("text", "String"),
    Column("raw", "String"),
    Column("word", "LowCardinality(String)"),
    Column("money", "Nullable(Int64)"),
    Column("small", "Nullable(UInt8)"),
]
# Lengths around what a view holds itself (12) and where a varint grows (128, 16384).
TEXTS = st.one_of(
    st.text(max_size=16),
    st.sampled_from(
        ["", "a", "x" * 12, "x" * 13, "ü" * 6, "ü" * 7, "y" * 127, "y" * 128, "z" * 20_000, "\0", "\n\t'\\"]
    ),
    st.builds(
        lambda head, tail: "common prefix " * 3 + head + tail, st.text(max_size=9), st.text(max_size=9)
    ),
)
ROW = st.fixed_dictionaries(
    {
        "u8": st.integers(0, 2**8 - 1),
        "u16": st.integers(0, 2**16 - 1),
        "u32": st.integers(0, 2**32 - 1),
        "i8": st.integers(-(2**7), 2**7 - 1),
        "i64": st.integers(-(2**63), 2**63 - 1),
        "f64": st.floats(allow_nan=False),
        "at": st.integers(-(10**12), 5 * 10**12),
        "kind": st.sampled_from(["a", "it's", "c"]),
        "some_hi": st.integers(0, 2**64 - 1),
        "some_lo": st.integers(0, 2**64 - 1),
        "fixed": st.text(alphabet="abc234", min_size=4, max_size=4),
        "wide": st.text(alphabet="abc234", min_size=20, max_size=20),
        "text": TEXTS,
        "raw": st.binary(max_size=40),
        "word": TEXTS,
        "money": st.none() | st.integers(-(2**63), 2**63 - 1),
        "small": st.none() | st.integers(0, 2**8 - 1),
    }
)
SCHEMA: dict[str, Any] = {
    "n": pl.UInt64,
    "u8": pl.UInt8,
    "u16": pl.UInt16,
    "u32": pl.UInt32,
    "i8": pl.Int8,
    "i64": pl.Int64,
    "f64": pl.Float64,
    "at": pl.Int64,
    "kind": pl.String,
    "some_hi": pl.UInt64,
    "some_lo": pl.UInt64,
    "fixed": pl.String,
    "wide": pl.String,
    "text": pl.String,
    "raw": pl.Binary,
    "word": pl.String,
    "money": pl.Int64,
    "small": pl.UInt8,
}
DEFAULTS = {
    "u8": 0,
    "i64": 0,
    "at": 0,
    "kind": "it's",
    "some_hi": 0,
    "some_lo": 0,
    "fixed": "\0" * 4,
    "text": "",
    "word": "",
}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "lz4"])
def table(request: pytest.FixtureRequest, clickhouse_server: Any) -> Iterator[Connection]:
    connection = connect(ClickHouseSettings(port=clickhouse_server.port, compression=request.param))
    connection.execute("DROP TABLE IF EXISTS packed")
    columns = ", ".join(f"{column.name} {column.type}" for column in COLUMNS)
    connection.execute(f"CREATE TABLE packed ({columns}) ENGINE = MergeTree ORDER BY n")
    yield connection
    connection.execute("DROP TABLE packed")
    connection.close()


def through(connection: Connection, frame: pl.DataFrame) -> pl.DataFrame:
    """Insert ``frame`` as one block, and read it back by `query_frame` with the names of ``kind``."""
    connection.execute("TRUNCATE TABLE packed")
    columns = connection.columns("packed")
    connection.insert_block("packed", pack_block(frame, columns), {})
    names = ", ".join(
        "toString(p.kind) AS kind" if column.name == "kind" else column.name for column in columns
    )
    return connection.query_frame(f"SELECT {names} FROM packed AS p ORDER BY n").cast({"raw": pl.Binary})


class TestRoundTrip:
    @given(rows=st.lists(ROW, min_size=1, max_size=60), cut=st.integers(0, 60))
    @settings(
        max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )
    def test_any_values(self, table: Connection, rows: list[dict[str, Any]], cut: int) -> None:
        """Also in frames that are two chunks, and a slice of something longer."""
        numbered = [{"n": number, **row} for number, row in enumerate(rows)]
        whole = pl.DataFrame(numbered, schema=SCHEMA)
        cut = min(cut, len(rows))
        frame = pl.concat([whole[:cut], pl.concat([whole, whole])[cut : len(rows)]], rechunk=False)
        assert through(table, frame).equals(whole.select(frame.columns))

    @given(
        rows=st.lists(ROW, min_size=1, max_size=40), missing=st.lists(st.booleans(), min_size=40, max_size=40)
    )
    @settings(
        max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )
    def test_nulls_are_defaults(
        self, table: Connection, rows: list[dict[str, Any]], missing: list[bool]
    ) -> None:
        blanked = [dict.fromkeys(row) if gone else row for row, gone in zip(rows, missing, strict=False)]
        numbered = [{**row, "n": number} for number, row in enumerate(blanked)]
        back = through(table, pl.DataFrame(numbered, schema=SCHEMA))
        expected = [{**row, **{k: v for k, v in DEFAULTS.items() if row[k] is None}} for row in numbered]
        names = ["n", *DEFAULTS, "money", "small"]
        assert back.select(names).equals(pl.DataFrame(expected, schema=SCHEMA).select(names))

    @pytest.mark.parametrize("distinct", [1, 255, 256, 257, 65_535, 65_536, 70_000])
    def test_dictionaries_of_all_widths(self, table: Connection, distinct: int) -> None:
        rows = max(distinct, 300)
        long = pl.Series(
            [
                f"{number % distinct} and a tail that no view holds" if number % 2 else f"{number % distinct}"
                for number in range(rows)
            ]
        )
        frame = pl.DataFrame({"n": range(rows), "word": long}, schema_overrides={"n": pl.UInt64})
        assert through(table, frame)["word"].equals(long)

    def test_columns_that_are_not_there(self, table: Connection) -> None:
        frame = pl.DataFrame({"n": [1, 2], "not_in_the_table": [1, 2]}, schema_overrides={"n": pl.UInt64})
        back = through(table, frame)
        assert back.select(*DEFAULTS).rows(named=True) == [DEFAULTS] * 2
        assert back["money"].null_count() == 2

    def test_many_blocks_back(self, table: Connection) -> None:
        frame = pl.DataFrame({"n": range(200_000)}, schema_overrides={"n": pl.UInt64}).with_columns(
            text=pl.col("n").cast(pl.String).str.pad_start(20, "x"),
            word=(pl.col("n") % 100).cast(pl.String),
            money=pl.col("n").cast(pl.Int64),
        )
        back = through(table, frame)
        assert back.select(frame.columns).equals(frame)

    def test_blocks_one_by_one(self, table: Connection) -> None:
        """A connection that is not read to its end serves the next query all the same."""
        frame = pl.DataFrame({"n": range(200_000)}, schema_overrides={"n": pl.UInt64}).with_columns(
            word=pl.when(pl.col("n") % 3 == 0)
            .then(pl.lit(""))
            .otherwise((pl.col("n") // 50_000).cast(pl.String))
        )
        through(table, frame)
        asked = "SELECT n, word FROM packed ORDER BY n"
        few = {"max_block_size": 10_000}
        blocks = list(table.query_frames(asked, few))
        assert len(blocks) > 5
        assert pl.concat(blocks).equals(frame)
        assert list(table.query_frames(f"{asked} LIMIT 0")) == []
        coming = table.query_frames(asked, few)
        next(coming)
        coming.close()  # type: ignore[attr-defined]
        assert table.query("SELECT count() FROM packed") == [(200_000,)]

    def test_what_is_made_of_texts(self, table: Connection) -> None:
        """Offsets and bytes stand for the texts, also of a FixedString, of the keys of a LowCardinality, and where there are none."""
        texts = ["", "a", "größer", "b" * 300]
        frame = pl.DataFrame({"n": range(4), "text": texts}, schema_overrides={"n": pl.UInt64})
        through(table, frame)
        seen: list[bytes] = []

        def lengths(offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
            seen.append(data.tobytes())
            return np.diff(offsets)

        word = "toLowCardinality(if(n % 2 = 0, 'even', text)) AS word"
        asked = f"SELECT text, toFixedString('12345678', 8) AS fixed, n, {word} FROM packed ORDER BY n"
        [block] = table.query_frames(asked, made=dict.fromkeys(("text", "fixed", "n", "word"), lengths))
        assert block["text"].to_list() == [len(text.encode()) for text in texts]
        assert block["fixed"].to_list() == [8] * 4
        assert block["n"].to_list() == [0, 1, 2, 3], "a number is no text"
        assert block["word"].to_list() == [4, 1, 4, 300]
        *given, keys = [one for one in seen if one]
        assert given == ["".join(texts).encode(), b"12345678" * 4]
        assert len(keys) == len("even") + 1 + 300, "each key once"
        assert list(table.query_frames(f"{asked} LIMIT 0", made={"text": lengths})) == []

    def test_no_rows_back(self, table: Connection) -> None:
        frame = table.query_frame("SELECT n, some_id, word, text, money FROM packed WHERE n > 1000000000")
        assert frame.schema == pl.Schema(
            {
                "n": pl.UInt64,
                "some_hi": pl.UInt64,
                "some_lo": pl.UInt64,
                "word": pl.String,
                "text": pl.String,
                "money": pl.Int64,
            }
        )

    def test_enum_numbers(self, table: Connection) -> None:
        frame = pl.DataFrame({"n": [1, 2], "kind": [7, 1]}, schema={"n": pl.UInt64, "kind": pl.Int8})
        assert through(table, frame)["kind"].to_list() == ["c", "a"]


class TestRefusals:
    def test_a_fixed_string_that_is_too_long(self) -> None:
        with pytest.raises(ValueError, match="longer than 4 bytes"):
            pack_block(pl.DataFrame({"fixed": ["abcd", "abcde"]}), COLUMNS)

    def test_an_unknown_member(self) -> None:
        with pytest.raises(KeyError, match="other"):
            pack_block(pl.DataFrame({"kind": ["a", "other"]}), COLUMNS)

    def test_a_type_without_a_form(self) -> None:
        with pytest.raises(UnpackableType, match=r"list: type Array\(String\)"):
            pack_block(pl.DataFrame({"list": [["a"]]}), [Column("list", "Array(String)")])
