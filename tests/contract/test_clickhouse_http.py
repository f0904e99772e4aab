"""ClickHouse's HTTP interface as any client of it expects: the embedded front, and a real server if one is named."""

import gzip
import io
import json
import socket
import time
import uuid
from urllib.parse import quote, urlencode, urlsplit

import httpx
import lz4.frame
import pytest
from clickhouse_driver import Client

from deploy.embedded.clickhouse import ClickHouseServer
from deploy.embedded.clickhouse.http.codings import Framed, opened
from tests.contract.conftest import Target

ENDLESS = "SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number))"


class Http:
    """Requests as the owner, in the test's database."""

    def __init__(self, target):
        self.target = target
        headers = self.credentials()
        # What a client accepts is part of the test.
        self.client = httpx.Client(base_url=target.http_url, headers=headers, timeout=60, trust_env=False)
        self.client.headers.pop("Accept-Encoding", None)

    def credentials(self):
        # As bytes: passwords may hold anything.
        target = self.target
        return {"X-ClickHouse-User": target.user.encode(), "X-ClickHouse-Key": target.password.encode()}

    def post(self, content=b"", headers=None, **parameters):
        given = {"database": self.target.database, **parameters}
        return self.client.post("/", params=given, content=content, headers=headers)

    def get(self, sql, **parameters):
        return self.client.get("/", params={"database": self.target.database, "query": sql, **parameters})

    def rows(self, sql, **parameters):
        answer = self.post(sql, default_format="JSONCompactEachRow", **parameters)
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def http(http_server):
    one = Http(http_server)
    with one.client:
        yield one


@pytest.fixture
def native(http_server):
    return http_server.connect()


def code(answer):
    """The status and the exception's code, which the body must say, too."""
    number = answer.headers["X-ClickHouse-Exception-Code"]
    assert answer.text.startswith(f"Code: {number}. DB::Exception: ")
    return answer.status_code, int(number)


class TestAsking:
    def test_without_a_statement_it_says_that_it_is_there(self, http):
        for path in ("/ping", "/"):
            answer = httpx.get(http.target.http_url + path, trust_env=False)
            assert (answer.status_code, answer.text) == (200, "Ok.\n")

    def test_the_statement_may_come_in_the_address_or_in_the_body_or_in_both(self, http):
        assert http.get("SELECT 1").text == "1\n"
        assert http.post("SELECT 1").text == "1\n"
        assert http.post("2", query="SELECT 1 +").text == "3\n"

    def test_no_statement_is_an_error(self, http):
        assert code(http.post("")) == (400, 62)

    def test_parameters_are_values_and_no_text(self, http):
        hostile = "1; DROP TABLE x -- '"
        assert http.rows("SELECT {x:String}, {n:UInt8}", param_x=hostile, param_n="7") == [[hostile, 7]]
        assert http.rows(
            "SELECT {a:Array(String)}, {n:Nullable(Int8)}", param_a="['a','b']", param_n="\\N"
        ) == [[["a", "b"], None]]

    def test_settings_stand_in_the_address(self, http):
        assert http.rows("SELECT getSetting('max_threads')", max_threads="3") == [[3]]
        assert code(http.post("SELECT 1", no_such_setting="1")) == (404, 115)

    def test_a_setting_does_not_stay(self, http):
        http.post("SELECT 1", max_block_size="77")
        assert http.rows("SELECT getSetting('max_block_size') = 77") == [[False]]

    def test_the_database_may_be_named(self, http):
        assert http.rows("SELECT currentDatabase()") == [[http.target.database]]
        assert http.rows("SELECT currentDatabase()", database="default") == [["default"]]
        assert code(http.post("SELECT * FROM no_such_table", database="no_such_database")) == (404, 81)

    def test_several_statements_are_refused(self, http):
        assert code(http.post("SELECT 1; SELECT 2")) == (400, 62)

    def test_a_form_brings_parameters(self, http):
        answer = http.client.post("/", files={"query": (None, "SELECT {x:String}"), "param_x": (None, "ü")})
        assert (answer.status_code, answer.text) == (200, "ü\n")

    def test_a_question_in_an_address_changes_nothing(self, http):
        http.post("CREATE TABLE kept (a UInt8) ENGINE = MergeTree ORDER BY a")
        for sql in (
            "DROP TABLE kept",
            "INSERT INTO kept VALUES (1)",
            "WITH 1 AS x INSERT INTO kept SELECT x",
        ):
            assert code(http.get(sql)) == (500, 164)
        assert http.get("SELECT count() FROM kept", max_threads="1").text == "0\n"

    def test_bytes_that_are_no_text_stay_as_they_are(self, http):
        assert http.post(b"SELECT hex('\xff\xc3')").text == "FFC3\n"


class TestAuthentication:
    def ask(self, http, headers=None, **parameters):
        return httpx.post(
            http.target.http_url, params=parameters, headers=headers, content="SELECT 1", trust_env=False
        )

    def test_by_headers_by_basic_and_in_the_address(self, http):
        user, password = http.target.user, http.target.password
        assert self.ask(http, http.credentials()).text == "1\n"
        assert self.ask(http, user=user, password=password).text == "1\n"
        basic = httpx.BasicAuth(user, password)
        assert httpx.post(http.target.http_url, auth=basic, content="SELECT 1", trust_env=False).text == "1\n"

    def test_a_wrong_password_is_refused(self, http):
        wrong = self.ask(http, {"X-ClickHouse-User": http.target.user, "X-ClickHouse-Key": "no"})
        assert code(wrong) == (403, 516)
        assert code(self.ask(http, user="nobody_here", password="x")) == (403, 516)
        assert code(self.ask(http, {"X-ClickHouse-User": b"\xff\xfe"})) == (403, 516)

    def test_two_ways_at_once_are_refused(self, http):
        answer = self.ask(http, {"X-ClickHouse-User": http.target.user}, user="x", password="y")
        assert answer.status_code == 403


class TestAnswering:
    def test_headers_say_what_it_is(self, http):
        answer = http.post("SELECT 1 AS a FORMAT JSON", query_id="the-query")
        assert answer.headers["X-ClickHouse-Query-Id"] == "the-query"
        assert answer.headers["X-ClickHouse-Format"] == "JSON"
        assert answer.headers["X-ClickHouse-Timezone"]
        assert answer.headers["X-ClickHouse-Server-Display-Name"]
        assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
        assert answer.json()["data"] == [{"a": 1}]

    def test_what_was_sent_cannot_end_a_header(self, http):
        hostile = "x\r\nSet-Cookie: a=b"
        answers = [http.post("SELECT 1", query_id=hostile), http.post("SELECT 1", default_format=hostile)]
        answers += [http.post("SELECT 1", session_timezone=hostile)]
        assert not any("Set-Cookie" in answer.headers for answer in answers)
        assert [answer.status_code == 200 for answer in answers] == [True, False, False]

    def test_the_summary_counts(self, http):
        http.post("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
        inserted = json.loads(
            http.post("INSERT INTO t SELECT number FROM numbers(7)").headers["X-ClickHouse-Summary"]
        )
        assert inserted["written_rows"] == "7"
        read = json.loads(http.post("SELECT sum(a) FROM t").headers["X-ClickHouse-Summary"])
        assert read["read_rows"] == "7"
        assert int(read["elapsed_ns"]) > 0

    def test_the_format_is_the_statements_then_the_requests(self, http):
        assert http.post("SELECT 1 AS a FORMAT CSVWithNames", default_format="JSON").text == '"a"\n1\n'
        assert http.post("SELECT 'x'", default_format="CSV").text == '"x"\n'
        assert http.post("SELECT 'x'", {"X-ClickHouse-Format": "CSV"}).text == '"x"\n'

    @pytest.mark.parametrize(
        ("name", "head"),
        [
            ("CSVWithNames", b'"n"\n'),
            ("TSVWithNamesAndTypes", b"n\nUInt64\n"),
            ("JSONCompactEachRowWithNamesAndTypes", b'["n"]\n["UInt64"]\n'),
            ("RowBinaryWithNamesAndTypes", b"\x01\x01n\x06UInt64"),
        ],
    )
    def test_large_and_empty_results_have_one_head(self, http, name, head):
        answer = http.post(
            f"SELECT number AS n FROM numbers(300000) FORMAT {name}",
            output_format_json_quote_64bit_integers="0",
        )
        assert answer.content.startswith(head)
        rest = answer.content[len(head) :]
        if name.startswith("RowBinary"):
            assert rest == b"".join(n.to_bytes(8, "little") for n in range(300_000))
        else:
            assert [int(line.strip(b"[]")) for line in rest.splitlines()] == list(range(300_000))
        assert http.post(f"SELECT number AS n FROM numbers(3) WHERE n > 5 FORMAT {name}").content == head

    def test_totals_come_once(self, http):
        sql = "SELECT number % 2 AS k, count() FROM numbers(10) GROUP BY k WITH TOTALS ORDER BY k FORMAT TSV"
        assert http.post(sql).text == "0\t5\n1\t5\n\n0\t10\n"

    def test_json_of_many_rows_is_one_document(self, http):
        answer = http.post("SELECT number FROM numbers(200000) FORMAT JSONCompact")
        assert len(answer.json()["data"]) == 200_000

    @pytest.mark.parametrize("rows", [0, 3])
    def test_native_blocks_have_names_and_types(self, http, rows):
        content = http.post(f"SELECT toUInt8(number) AS n FROM numbers({rows}) FORMAT Native").content
        assert content == b"\x01" + bytes([rows]) + b"\x01n\x05UInt8" + bytes(range(rows))

    def test_native_blocks_follow_the_clients_revision(self, http):
        sql = "SELECT toUInt8(7) AS n FORMAT Native"
        info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
        old = http.post(sql, client_protocol_version="54405").content
        assert old == info + b"\x01\x01\x01n\x05UInt8\x07"
        new = http.post(sql, client_protocol_version="54460").content
        assert new == info + b"\x01\x01\x01n\x05UInt8\x00\x07"

    def test_head_has_no_body(self, http):
        answer = http.client.head("/", params={"query": "SELECT 1"})
        assert (answer.status_code, answer.content) == (200, b"")


class TestErrors:
    @pytest.mark.parametrize(
        ("sql", "expected"),
        [
            ("SELEC 1", (400, 62)),
            ("SELECT * FROM no_such_table", (404, 60)),
            ("SELECT no_such_column", (404, 47)),
            ("SELECT no_such_function(1)", (404, 46)),
            ("SELECT throwIf(1)", (500, 395)),
            ("SELECT toUInt8('x')", (400, 6)),
        ],
    )
    def test_codes_and_statuses(self, http, sql, expected):
        assert code(http.post(sql)) == expected

    def test_an_error_behind_many_rows_breaks_off_and_says_why(self, http):
        sql = "SELECT throwIf(number = 4000000) FROM system.numbers LIMIT 5000000 FORMAT CSV"
        with http.client.stream("POST", "/", content=sql) as answer:
            assert answer.status_code == 200
            tag = answer.headers["X-ClickHouse-Exception-Tag"]
            received = bytearray()
            with pytest.raises(httpx.RemoteProtocolError):
                for piece in answer.iter_raw():
                    received += piece
        assert received.startswith(b"0\n0\n")
        end = bytes(received[-2000:])
        assert f"__exception__\r\n{tag}\r\nCode: 395. DB::Exception: ".encode() in end
        text, _, _ = end.split(f"__exception__\r\n{tag}\r\n".encode(), 1)[1].rpartition(
            b"\n" + last_line(end)
        )
        assert last_line(end).startswith(str(len(text) + 1).encode())

    def test_waiting_for_the_end_gives_the_errors_status(self, http):
        sql = "SELECT throwIf(number = 4000000) FROM system.numbers LIMIT 5000000 FORMAT CSV"
        assert code(http.post(sql, wait_end_of_query="1")) == (500, 395)

    def test_paths_that_are_none(self, http):
        assert http.client.get("/no/such/path").status_code == 404


def last_line(end):
    """`LENGTH TAG`, between the text and the closing mark."""
    return end.removesuffix(b"\r\n__exception__\r\n").rpartition(b"\n")[2]


class TestCompression:
    SQL = "SELECT number FROM numbers(200000)"
    TEXT = b"".join(b"%d\n" % number for number in range(200_000))

    @pytest.mark.parametrize(("coding", "decode"), [("gzip", gzip.decompress), ("lz4", lz4.frame.decompress)])
    def test_answers(self, http, coding, decode):
        with http.client.stream(
            "POST",
            "/",
            params={"enable_http_compression": "1"},
            content=self.SQL,
            headers={"Accept-Encoding": coding},
        ) as answer:
            assert answer.headers["Content-Encoding"] == coding
            packed = b"".join(answer.iter_raw())
        assert len(packed) < len(self.TEXT)
        assert decode(packed) == self.TEXT

    def test_zstd_and_brotli_answers(self, http):
        for coding in ("zstd", "br"):
            with http.client.stream(
                "POST",
                "/",
                params={"enable_http_compression": "1"},
                content=self.SQL,
                headers={"Accept-Encoding": coding},
            ) as answer:
                assert answer.headers["Content-Encoding"] == coding
                packed = io.BytesIO(b"".join(answer.iter_raw()))
            stream = opened(packed, coding, framed=False)
            assert b"".join(iter(lambda stream=stream: stream.read(1 << 16), b"")) == self.TEXT

    def test_only_where_both_want_it(self, http):
        for parameters, accept in (({}, "gzip"), ({"enable_http_compression": "1"}, "identity")):
            answer = http.client.post(
                "/", params=parameters, content=self.SQL, headers={"Accept-Encoding": accept}
            )
            assert "Content-Encoding" not in answer.headers
            assert answer.content == self.TEXT

    def test_frames_both_ways(self, http):
        answer = http.post(self.SQL, compress="1")
        stream = opened(io.BytesIO(answer.content), "", framed=True)
        assert b"".join(iter(lambda: stream.read(1 << 16), b"")) == self.TEXT
        packed: list[bytes] = []
        Framed(lambda data: packed.append(bytes(data))).write(b"SELECT 'in frames'")
        assert http.post(b"".join(packed), decompress="1").text == "in frames\n"

    @pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("lz4", lz4.frame.compress)])
    def test_requests(self, http, coding, encode):
        http.post("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")
        answer = http.post(encode(self.TEXT), {"Content-Encoding": coding}, query="INSERT INTO t FORMAT TSV")
        assert answer.status_code == 200, answer.text
        assert http.rows("SELECT count(), sum(a) FROM t", output_format_json_quote_64bit_integers="0") == [
            [200_000, sum(range(200_000))]
        ]

    def test_a_coding_that_is_not_known_is_refused(self, http):
        answer = http.post(b"x", {"Content-Encoding": "rot13"}, query="SELECT 1")
        assert answer.status_code in (400, 501)


class TestInserts:
    @pytest.fixture(autouse=True)
    def table(self, http):
        http.post("CREATE TABLE t (a UInt32, b String DEFAULT 'none') ENGINE = MergeTree ORDER BY a")

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("CSV", b'1,"x"\n2,"y"\n'),
            ("TabSeparated", b"1\tx\n2\ty\n"),
            ("JSONEachRow", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}'),
            ("Values", b"(1, 'x'), (2, 'y')"),
            ("Native", b"\x02\x02\x01a\x06UInt32\x01\0\0\0\x02\0\0\0\x01b\x06String\x01x\x01y"),
        ],
    )
    @pytest.mark.parametrize("place", ["address", "body"])
    def test_formats(self, http, name, data, place):
        sql = f"INSERT INTO t (a, b) FORMAT {name}"
        answer = http.post(data, query=sql) if place == "address" else http.post(f"{sql}\n".encode() + data)
        assert (answer.status_code, answer.content) == (200, b"")
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "2"
        assert http.rows("SELECT * FROM t ORDER BY a") == [[1, "x"], [2, "y"]]

    def test_columns_left_out_get_their_default(self, http):
        http.post(b"5\n", query="INSERT INTO t (a) FORMAT CSV")
        assert http.rows("SELECT * FROM t") == [[5, "none"]]

    def test_native_blocks_of_a_revision(self, http):
        info = b"\x01\x00\x02\xff\xff\xff\xff\x00"
        block = info + b"\x01\x01\x01a\x06UInt32\x00\x09\0\0\0"
        answer = http.post(block, query="INSERT INTO t (a) FORMAT Native", client_protocol_version="54460")
        assert answer.status_code == 200, answer.text
        assert http.rows("SELECT a FROM t") == [[9]]

    def test_more_than_fits_into_one_piece(self, http):
        def pieces():
            yield b"INSERT INTO t FORMAT CSV\n"
            for start in range(0, 400_000, 10_000):
                yield b"".join(
                    b'%d,"some text to make it larger"\n' % number for number in range(start, start + 10_000)
                )

        assert http.post(pieces()).status_code == 200
        assert http.rows(
            "SELECT count(), uniqExact(a) FROM t", output_format_json_quote_64bit_integers="0"
        ) == [[400_000, 400_000]]

    def test_malformed_data_insert_nothing(self, http):
        answer = http.post(b"1,x\nnot a number,y\n", query="INSERT INTO t FORMAT CSV")
        assert code(answer)[0] == 400
        assert http.rows("SELECT count() FROM t", output_format_json_quote_64bit_integers="0") == [[0]]

    def test_nothing_to_insert(self, http):
        assert http.post(b"", query="INSERT INTO t FORMAT CSV").status_code == 200
        assert code(http.post(b"", query="INSERT INTO no_such_table FORMAT CSV")) == (404, 60)

    def test_what_was_inserted_is_seen_by_the_other_protocol(self, http, native):
        http.post(b"1,x\n", query="INSERT INTO t FORMAT CSV")
        assert native.execute("SELECT * FROM t") == [(1, "x")]


class TestSessions:
    def test_settings_database_and_temporary_tables_stay(self, http):
        session = {"session_id": str(uuid.uuid4())}
        http.post("SET max_block_size = 77", **session)
        http.post("CREATE TEMPORARY TABLE tmp (a UInt8)", **session)
        http.post("INSERT INTO tmp VALUES (3)", **session)
        assert http.rows("SELECT getSetting('max_block_size') = 77", **session) == [[True]]
        assert http.rows("SELECT a FROM tmp", **session) == [[3]]
        assert http.rows("SELECT getSetting('max_block_size') = 77") == [[False]]
        assert code(http.post("SELECT a FROM tmp")) == (404, 60)

    def test_use_stays(self, http):
        session = {"session_id": str(uuid.uuid4()), "database": ""}
        assert http.rows("SELECT currentDatabase()", **session) == [["default"]]
        assert http.post(f"USE {http.target.database}", **session).status_code == 200
        assert http.rows("SELECT currentDatabase()", **session) == [[http.target.database]]

    def test_one_that_must_exist(self, http):
        name = str(uuid.uuid4())
        assert code(http.post("SELECT 1", session_id=name, session_check="1"))[1] == 372
        http.post("SELECT 1", session_id=name)
        assert http.post("SELECT 1", session_id=name, session_check="1").status_code == 200

    def test_it_is_forgotten_after_its_time(self, http):
        name = str(uuid.uuid4())
        http.post("SELECT 1", session_id=name, session_timeout="1")
        for _ in range(200):
            time.sleep(0.5)
            # Asking with a check must not keep it alive for ever: the time is given anew each time.
            answer = http.post("SELECT 1", session_id=name, session_check="1", session_timeout="0")
            if answer.status_code != 200:
                assert code(answer)[1] == 372
                return
        raise AssertionError("the session never ended")

    def test_one_request_at_a_time(self, http, native):
        session = {"session_id": str(uuid.uuid4())}
        running = Hanging(http.target, ENDLESS, **session)
        running.until_known(native)
        assert code(http.post("SELECT 1", **session))[1] == 373
        running.close()
        running.until_ended(native)
        # The session is free again, now or in a moment.
        for _ in range(200):
            if http.post("SELECT 1", **session).status_code == 200:
                return
            time.sleep(0.05)
        raise AssertionError("the session stays locked")


class Hanging:
    """A request whose answer nobody waits for."""

    def __init__(self, target, sql, **parameters):
        self.query_id = str(uuid.uuid4())
        address = urlsplit(target.http_url)
        given = urlencode({"query_id": self.query_id, **parameters}, quote_via=quote)
        self._link = socket.create_connection((address.hostname, address.port))
        lines = (
            f"POST /?{given} HTTP/1.1",
            f"Host: {address.netloc}",
            f"X-ClickHouse-User: {target.user}",
            f"X-ClickHouse-Key: {target.password}",
            f"Content-Length: {len(sql)}",
        )
        self._link.sendall(("\r\n".join(lines) + "\r\n\r\n" + sql).encode())

    def close(self):
        self._link.close()

    def is_known(self, native):
        return bool(native.execute(f"KILL QUERY WHERE query_id = '{self.query_id}' TEST"))

    def until_known(self, native):
        self._until(native, True)

    def until_ended(self, native):
        self._until(native, False)

    def _until(self, native, known):
        for _ in range(500):
            if self.is_known(native) is known:
                return
            time.sleep(0.02)
        raise AssertionError(f"known: {not known}, and it stays like that")


class TestStopping:
    def test_a_client_that_vanishes_leaves_no_running_statement(self, http, native):
        running = Hanging(http.target, ENDLESS)
        running.until_known(native)
        running.close()
        running.until_ended(native)

    def test_nor_one_that_vanishes_while_it_reads(self, http, native):
        query_id = str(uuid.uuid4())
        sql = "SELECT number, 'some text' FROM system.numbers FORMAT CSV"
        with http.client.stream("POST", "/", params={"query_id": query_id}, content=sql) as answer:
            assert next(answer.iter_raw()).startswith(b"0,")
        for _ in range(500):
            if not native.execute(f"KILL QUERY WHERE query_id = '{query_id}' TEST"):
                return
            time.sleep(0.02)
        raise AssertionError("the statement goes on without its client")

    def test_nor_half_an_insert(self, http, native):
        http.post("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a")

        def pieces():
            yield b"INSERT INTO t FORMAT CSV\n1\n2\n"
            raise ConnectionAbortedError

        with pytest.raises(ConnectionAbortedError):
            http.post(pieces())
        assert http.rows("SELECT count() FROM t", output_format_json_quote_64bit_integers="0") == [[0]]

    def test_kill(self, http, native):
        running = Hanging(http.target, ENDLESS)
        running.until_known(native)
        [row] = http.rows(f"KILL QUERY WHERE query_id = '{running.query_id}' SYNC")
        assert row[:3] == ["finished", running.query_id, http.target.user]
        running.until_ended(native)
        running.close()
        assert http.post("KILL QUERY WHERE 0 SYNC FORMAT JSONEachRow").text == ""


def test_many_at_once(http):
    """Statements run side by side: each sleeps for a while, and others are answered meanwhile."""
    slow = Hanging(http.target, ENDLESS)
    native = Client(http.target.host, http.target.port, user=http.target.user, password=http.target.password)
    slow.until_known(native)
    assert [http.post(f"SELECT {n}").text for n in range(20)] == [f"{n}\n" for n in range(20)]
    assert slow.is_known(native)
    slow.close()
    slow.until_ended(native)
    native.disconnect()


def test_the_server_ends_although_requests_hang(tmp_path):
    server = ClickHouseServer(tmp_path / "data", http_port=0)
    with server, Client(server.host, server.port) as client:
        target = Target(server.host, server.port, "default", "", server, http_url=server.http_url)
        Hanging(target, ENDLESS).until_known(client)
        server.stop()
    assert server.log.read_text().rstrip().endswith("stopped")
