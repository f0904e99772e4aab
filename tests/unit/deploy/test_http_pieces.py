"""The parts of the HTTP front that need no engine: statements and data, formats, codings, Native with a revision."""

import gzip
import io

import lz4.frame
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.clickhouse.blocks import BLOCK_INFO, header
from deploy.embedded.clickhouse.cursor import Cursor, FileCursor
from deploy.embedded.clickhouse.errors import ServerError
from deploy.embedded.clickhouse.http.body import read_statement
from deploy.embedded.clickhouse.http.codings import Coded, Framed, negotiated, opened
from deploy.embedded.clickhouse.http.formats import content_type, has_head, head_size, in_pieces
from deploy.embedded.clickhouse.http.native import dressed, undressed
from deploy.embedded.clickhouse.http.status import status_of
from deploy.embedded.clickhouse.statements import only_reads
from deploy.embedded.clickhouse.wire import text, varint

CODINGS = ["gzip", "lz4", "zstd", "br"]


class TestStatements:
    @pytest.mark.parametrize(
        ("parameter", "body", "statement", "data"),
        [
            ("SELECT 1", b"", "SELECT 1", None),
            ("", b"SELECT 1", "SELECT 1", None),
            ("SELECT 1 +", b"2", "SELECT 1 +\n2", None),
            ("INSERT INTO t FORMAT CSV", b"1\n2", "INSERT INTO t FORMAT CSV", b"1\n2"),
            ("INSERT INTO t FORMAT CSV;", b"1\n2", "INSERT INTO t FORMAT CSV", b"1\n2"),
            ("INSERT INTO t VALUES", b"(1)", "INSERT INTO t VALUES", b"(1)"),
            ("INSERT INTO t (a)", b"(1)", "INSERT INTO t (a)", b"(1)"),
            ("", b"INSERT INTO t FORMAT CSV\n1\n2", "INSERT INTO t FORMAT CSV", b"1\n2"),
            ("", b"INSERT INTO t FORMAT CSV \r\n\n1", "INSERT INTO t FORMAT CSV", b"\n1"),
            ("", b"INSERT INTO t FORMAT CSV 1", "INSERT INTO t FORMAT CSV", b"1"),
            ("", b"INSERT INTO t FORMAT TSV\n-- no comment", "INSERT INTO t FORMAT TSV", b"-- no comment"),
            (
                "",
                b"INSERT INTO t FORMAT Native\n\x01\xff'\x00",
                "INSERT INTO t FORMAT Native",
                b"\x01\xff'\x00",
            ),
            ("", b"INSERT INTO t VALUES (1, ';')", "INSERT INTO t VALUES", b"(1, ';')"),
            ("INSERT INTO t FORMAT CSV", b"", "INSERT INTO t FORMAT CSV", b""),
            ("INSERT INTO t SELECT 1", b"", "INSERT INTO t SELECT 1", None),
        ],
    )
    def test_where_the_data_begin(self, parameter, body, statement, data):
        found = read_statement(parameter, io.BytesIO(body))
        assert found.text == statement
        assert (None if found.data is None else b"".join(iter(lambda: found.data.read(3), b""))) == data

    @given(st.binary(max_size=200))
    def test_data_come_out_as_they_were(self, data):
        found = read_statement("", io.BytesIO(b"INSERT INTO t FORMAT Native\n" + data))
        assert b"".join(iter(lambda: found.data.read(7), b"")) == data

    @pytest.mark.parametrize(
        ("sql", "reads"),
        [
            ("SELECT 1", True),
            ("WITH 1 AS x SELECT x", True),
            ("WITH 1 AS x INSERT INTO t SELECT x", False),
            ("WITH (SELECT 1) AS x /* ; */ insert INTO t SELECT x", False),
            ("SELECT 1 PARALLEL WITH DROP TABLE t", False),
            ("SELECT 'INSERT'", True),
            ("EXPLAIN INSERT INTO t SELECT 1", True),
            ("DROP TABLE t", False),
        ],
    )
    def test_only_reads(self, sql, reads):
        assert only_reads(sql) is reads


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
            ("CSVWithNames", "text/csv; charset=UTF-8; header=present"),
            ("JSON", "application/json; charset=UTF-8"),
            ("JSONEachRow", "application/x-ndjson; charset=UTF-8"),
            ("Native", "application/octet-stream"),
            ("Pretty", "text/plain; charset=UTF-8"),
        ],
    )
    def test_content_types(self, name, kind):
        assert content_type(name) == kind

    @pytest.mark.parametrize(
        ("name", "head", "rows"),
        [
            ("TSVWithNames", b"a\tb\n", b"1\t2\n"),
            ("TSVWithNamesAndTypes", b"a\tb\nUInt8\tUInt8\n", b"1\t2\n"),
            ("CSVWithNames", b'"a\n""b"\n', b"1\n"),
            ("JSONCompactEachRowWithNamesAndTypes", b'["a"]\n["UInt8"]\n', b"[1]\n"),
            ("RowBinaryWithNamesAndTypes", b"\x02\x01a\x01b\x05UInt8\x05UInt8", b"\x01\x02"),
            ("CSV", b"", b"1\n"),
        ],
    )
    def test_heads(self, name, head, rows):
        assert in_pieces(name)
        assert has_head(name) == bool(head)
        assert head_size(name, memoryview(head + rows)) == len(head)

    @pytest.mark.parametrize("name", ["JSON", "Parquet", "Pretty", "XML", "Values", "Nope"])
    def test_others_are_sent_as_a_whole(self, name):
        assert not in_pieces(name)

    @pytest.mark.parametrize(
        ("code", "status"),
        [(62, 400), (60, 404), (81, 404), (516, 403), (497, 403), (48, 501), (159, 408), (241, 500)],
    )
    def test_statuses(self, code, status):
        assert status_of(code) == status


class TestCodings:
    @pytest.mark.parametrize(
        ("accept", "coding"),
        [
            ("", ""),
            ("identity", ""),
            ("gzip", "gzip"),
            ("deflate, snappy, gzip;q=0.5, zstd", "zstd"),
            ("lz4,zstd,gzip", "lz4"),
            ("gzip;q=0, br;q=x", ""),
        ],
    )
    def test_negotiation(self, accept, coding):
        assert negotiated(accept) == coding

    @pytest.mark.parametrize("coding", CODINGS)
    @given(pieces=st.lists(st.binary(max_size=100)))
    def test_what_is_coded_can_be_opened(self, coding, pieces):
        sent: list[bytes] = []
        outlet = Coded(coding, lambda data: sent.append(bytes(data)))
        for piece in pieces:
            outlet.write(piece)
        outlet.close()
        stream = opened(io.BytesIO(b"".join(sent)), coding, framed=False)
        assert b"".join(iter(lambda: stream.read(10), b"")) == b"".join(pieces)

    def test_others_can_read_it(self):
        for coding, decode in (("gzip", gzip.decompress), ("lz4", lz4.frame.decompress)):
            sent: list[bytes] = []
            outlet = Coded(coding, lambda data, sent=sent: sent.append(bytes(data)))
            outlet.write(b"x" * 1000)
            outlet.close()
            assert decode(b"".join(sent)) == b"x" * 1000

    @given(st.lists(st.binary(max_size=100)))
    def test_frames(self, pieces):
        sent: list[bytes] = []
        outlet = Framed(lambda data: sent.append(bytes(data)))
        for piece in pieces:
            outlet.write(piece)
        stream = opened(io.BytesIO(b"".join(sent)), "", framed=True)
        assert b"".join(iter(lambda: stream.read(10), b"")) == b"".join(pieces)

    def test_an_unknown_coding_is_refused_by_name(self):
        with pytest.raises(ServerError, match="snappy"):
            opened(io.BytesIO(b""), "snappy", framed=False)

    def test_a_broken_body_is_an_error(self):
        with pytest.raises(ServerError) as caught:
            opened(io.BytesIO(b"not gzip at all"), "gzip", framed=False).read(100)
        assert caught.value.code == 271


class TestNative:
    PLAIN = (
        header([("a", "UInt8"), ("b", "String")])[:1]
        + varint(2)
        + b"".join((text("a"), text("UInt8"), b"\x01\x02", text("b"), text("String"), text("x"), text("yz")))
    )

    @pytest.mark.parametrize("revision", [0, 54405, 54460])
    def test_there_and_back(self, revision):
        worn = b"".join(bytes(part) for part in dressed(memoryview(self.PLAIN * 2), revision))
        if revision:
            assert worn.startswith(BLOCK_INFO)
            assert b"".join(undressed(io.BytesIO(worn), revision)) == self.PLAIN * 2
        else:
            assert worn == self.PLAIN * 2

    def test_every_column_says_that_it_is_ordinary(self):
        worn = b"".join(bytes(part) for part in dressed(memoryview(self.PLAIN), 54454))
        assert text("UInt8") + b"\x00\x01\x02" in worn
        assert text("String") + b"\x00" + text("x") in worn

    def test_sparse_columns_are_refused(self):
        worn = b"".join(bytes(part) for part in dressed(memoryview(self.PLAIN), 54454))
        sparse = worn.replace(text("UInt8") + b"\x00", text("UInt8") + b"\x01")
        with pytest.raises(ServerError, match="sparse"):
            list(undressed(io.BytesIO(sparse), 54454))

    def test_a_file_cursor_reads_across_pieces(self):
        cursor = FileCursor(io.BytesIO(text("x" * 200_000) + b"\x05"))
        assert len(cursor.text()) == 200_000
        assert cursor.varint() == 5
        assert not cursor.more()
        assert Cursor(np.frombuffer(b"\x07", np.uint8), 1).varint() == 7
