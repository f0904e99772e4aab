"""Where native blocks end: whatever the driver writes, in whatever pieces it arrives."""

import functools
from io import BytesIO

import numpy as np
import pytest
from clickhouse_driver import Client
from clickhouse_driver.block import ColumnOrientedBlock
from clickhouse_driver.bufferedwriter import CompressedBufferedWriter
from clickhouse_driver.connection import ServerInfo
from clickhouse_driver.streams.native import BlockOutputStream
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.embedded.clickhouse.blocks import cut, header, skip_block, skip_info
from deploy.embedded.clickhouse.cursor import Cursor, GrowingCursor
from deploy.embedded.clickhouse.errors import ProtocolError, ServerError, Truncated
from deploy.embedded.clickhouse.layout import Array, Fixed, LowCardinality, Nullable, Text, Tuple, layout_of
from deploy.embedded.clickhouse.wire import REVISION

TEXTS = st.text(max_size=200)
FEW = st.sampled_from(["", "a", "b", "long " * 40])
LEAVES = st.sampled_from(
    [
        ("UInt8", st.integers(0, 255)),
        ("Int64", st.integers(-(2**63), 2**63 - 1)),
        ("Float64", st.floats()),
        ("UUID", st.uuids()),
        ("String", TEXTS),
        ("LowCardinality(String)", FEW),
        ("Nullable(String)", st.none() | TEXTS),
        ("Nullable(Int32)", st.none() | st.integers(-9, 9)),
        ("LowCardinality(Nullable(String))", st.none() | FEW),
    ]
)


def wrapped(inner):
    return st.one_of(
        inner.map(lambda one: (f"Array({one[0]})", st.lists(one[1], max_size=4))),
        inner.map(
            lambda one: (f"Map(String, {one[0]})", st.dictionaries(st.text(max_size=5), one[1], max_size=3))
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"Tuple({two[0][0]}, {two[1][0]})", st.tuples(two[0][1], two[1][1]))
        ),
    )


# The driver itself cannot write some deeper nestings, nor such enums inside of anything.
ENUM = st.just(("Enum8('a,b' = 1, 'c)' = 2)", st.sampled_from(["a,b", "c)"])))
# Nor an empty array or map of nullable dictionary values: it writes a dictionary where the format has nothing.
TYPES = LEAVES | ENUM | wrapped(LEAVES.filter(lambda leaf: leaf[0] != "LowCardinality(Nullable(String))"))


@st.composite
def written_blocks(draw):
    """The bytes of a block as the driver writes it, with its columns and number of rows."""
    rows = draw(st.integers(1, 40))
    columns = draw(st.lists(TYPES, min_size=1, max_size=5))
    data = [draw(st.lists(values, min_size=rows, max_size=rows)) for _, values in columns]
    named = [(f"column {place}", kind) for place, (kind, _) in enumerate(columns)]
    return write(named, data), named, rows


def write(columns, data):
    out = BytesIO()
    BlockOutputStream(CompressedBufferedWriter(out, 1 << 20), context()).write(
        ColumnOrientedBlock(columns, data)
    )
    return out.getvalue()


@functools.cache
def context():
    """The driver's idea of a connection at the front's revision."""
    client = Client("nowhere")
    client.make_query_settings({})
    client.connection.context.server_info = ServerInfo("ClickHouse", 1, 1, 1, REVISION, "UTC", "", REVISION)
    return client.connection.context


class Dripping(GrowingCursor):
    """Bytes that arrive in pieces of the given sizes, again and again."""

    def __init__(self, data, sizes):
        super().__init__()
        self.left, self.sizes, self.turn = data, sizes, 0

    def fetch(self, missing):
        while missing > 0:
            if not self.left:
                raise Truncated
            piece, self.left = np.frombuffer(self.left, np.uint8)[: self._size()], self.left[self._size() :]
            self.turn += 1
            self.room(len(piece))[: len(piece)] = piece
            self.end += len(piece)
            missing -= len(piece)

    def _size(self):
        return self.sizes[self.turn % len(self.sizes)]


def over(data):
    return Cursor(np.frombuffer(data, np.uint8), len(data))


@given(written_blocks(), st.lists(st.integers(1, 70), min_size=1, max_size=5))
def test_the_end_is_found_however_it_arrives(block, sizes):
    data, columns, rows = block
    rest = b"\x02\x00 what follows"
    cursor = Dripping(data + rest, sizes)
    skip_info(cursor)
    extent = skip_block(cursor)
    assert cursor.position == len(data)
    assert (list(extent.columns), extent.rows) == (columns, rows)
    assert bytes(cursor.view[extent.start : extent.end]) == data[8:]
    assert cursor.raw(len(rest)) == rest


@given(written_blocks(), st.data())
def test_a_block_that_ends_early_is_never_taken_for_whole(block, data):
    written, _, _ = block
    cursor = over(written[: data.draw(st.integers(0, len(written) - 1))])
    with pytest.raises(Truncated):
        skip_info(cursor)
        skip_block(cursor)


@settings(max_examples=40)
@given(st.lists(written_blocks(), max_size=3))
def test_results_are_cut_into_their_blocks(blocks):
    result = b"".join(data[8:] for data, _, _ in blocks)
    pieces = list(cut(memoryview(result)))
    assert [bytes(view) for view, _ in pieces] == [data[8:] for data, _, _ in blocks]
    assert [extent.rows for _, extent in pieces] == [rows for _, _, rows in blocks]


@given(st.binary(max_size=300))
def test_noise_ends_in_an_error_of_ours(noise):
    cursor = over(noise)
    try:
        extent = skip_block(cursor)
    except (Truncated, ProtocolError, ServerError):
        return
    assert extent.end <= len(noise)


def test_header_has_no_rows():
    columns = [("a", "UInt8"), ("größe", "Map(String, UInt8)")]
    extent = skip_block(over(header(columns)))
    assert (list(extent.columns), extent.rows) == (columns, 0)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("Decimal(9, 2)", Fixed(4)),
        ("Decimal(10, 2)", Fixed(8)),
        ("Decimal(76, 0)", Fixed(32)),
        ("DateTime64(3, 'Asia/Istanbul')", Fixed(8)),
        ("DateTime('UTC')", Fixed(4)),
        ("FixedString(17)", Fixed(17)),
        ("Enum16('a(' = 1, 'b, \\'c' = 2)", Fixed(2)),
        ("IntervalSecond", Fixed(8)),
        ("Nullable(String)", Nullable(Text())),
        ("LowCardinality(Nullable(FixedString(2)))", LowCardinality(Fixed(2))),
        ("Tuple(a UInt8, `b c` Array(String))", Tuple((Fixed(1), Array(Text())))),
        ("Nested(a UInt8, b Decimal(38, 4))", Array(Tuple((Fixed(1), Fixed(16))))),
        ("Map(LowCardinality(String), Date)", Array(Tuple((LowCardinality(Text()), Fixed(2))))),
        ("SimpleAggregateFunction(anyLast, Nullable(Date32))", Nullable(Fixed(4))),
        ("Ring", Array(Tuple((Fixed(8), Fixed(8))))),
    ],
)
def test_layouts(name, layout):
    assert layout_of(name) == layout


@pytest.mark.parametrize(
    "name",
    [
        "AggregateFunction(uniq, UInt64)",
        "JSON",
        "Dynamic",
        "Variant(String, UInt8)",
        "Array(JSON)",
        "Tuple()",
        "Madeup",
    ],
)
def test_types_whose_end_is_unknown_are_refused_by_name(name):
    with pytest.raises(ServerError) as caught:
        layout_of(name)
    assert caught.value.code == 48
    assert name.removeprefix("Array(").removesuffix(")").split("(")[0] in caught.value.text
