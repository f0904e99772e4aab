"""What the front reads out of SQL, and out of the engine's error messages."""

import pytest

from deploy.embedded.clickhouse.errors import ServerError, from_engine
from deploy.embedded.clickhouse.statements import (
    Insert,
    Kill,
    first_word,
    kill_query,
    read_insert,
    without_format,
)


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1", "SELECT"),
        ("  -- note; here\n/* and\nthere */ WITH 1 AS x SELECT x", "WITH"),
        ("(SELECT 1)", "("),
        ("", ""),
        ("-- nothing", ""),
    ],
)
def test_first_word(sql, word):
    assert first_word(sql) == word


@pytest.mark.parametrize(
    ("sql", "insert"),
    [
        ("INSERT INTO t VALUES", Insert("t", "", "", "blocks")),
        ("insert into db.t (a, `b c`) format Native", Insert("db.t", "(a, `b c`)", "", "blocks")),
        ("INSERT INTO TABLE `t (x` (a) VALUES ;", Insert("`t (x`", "(a)", "", "blocks")),
        ("INSERT INTO t (a)", Insert("t", "(a)", "", "blocks")),
        ("INSERT INTO t (* EXCEPT (b)) VALUES", Insert("t", "(* EXCEPT (b))", "", "blocks")),
        (
            "INSERT INTO t (a) SETTINGS async_insert = 0, log_comment = 'VALUES (' VALUES",
            Insert("t", "(a)", "async_insert = 0, log_comment = 'VALUES ('", "blocks"),
        ),
        (
            "INSERT INTO FUNCTION null('a UInt8') (a) VALUES",
            Insert("FUNCTION null('a UInt8')", "(a)", "", "blocks"),
        ),
        ("INSERT INTO t VALUES (1, ';'), (2, 'x')", Insert("t", "", "", "inline")),
        ("INSERT INTO t FORMAT CSV\n1,2", Insert("t", "", "", "inline")),
        ("INSERT INTO t (a) SELECT 1 FORMAT Null", Insert("t", "(a)", "", "select")),
        ("INSERT INTO t WITH 1 AS x SELECT x", Insert("t", "", "", "select")),
        ("SELECT 'INSERT INTO t VALUES'", None),
        ("WITH 1 AS x INSERT INTO t SELECT x", None),
    ],
)
def test_inserts(sql, insert):
    assert read_insert(sql) == insert


@pytest.mark.parametrize(
    ("sql", "rest"),
    [
        ("SELECT 1 FORMAT JSON", "SELECT 1 "),
        ("SELECT 1 format TSV SETTINGS max_threads = 1 ;", "SELECT 1  SETTINGS max_threads = 1 "),
        ("SELECT 1 AS format FROM t", "SELECT 1 AS format FROM t"),
        ("SELECT format('{}', 'a;b') -- FORMAT CSV", "SELECT format('{}', 'a;b') -- FORMAT CSV"),
        ("SELECT $x$ ; FORMAT CSV $x$", "SELECT $x$ ; FORMAT CSV $x$"),
        ("SELECT 'it''s; \\' FORMAT CSV'", "SELECT 'it''s; \\' FORMAT CSV'"),
    ],
)
def test_format_is_cut_off(sql, rest):
    assert without_format(sql) == rest


def test_several_statements_are_refused():
    with pytest.raises(ServerError) as caught:
        without_format("SELECT 1; DROP TABLE t")
    assert caught.value.code == 62


@pytest.mark.parametrize(
    ("sql", "kill"),
    [
        ("KILL QUERY WHERE query_id = 'a' SYNC", Kill("query_id = 'a'", "SYNC")),
        ("kill query where user = 'SYNC'", Kill("user = 'SYNC'", "ASYNC")),
        ("KILL QUERY WHERE 1 TEST FORMAT Null;", Kill("1", "TEST")),
        ("KILL MUTATION WHERE 1", None),
        ("SELECT 1", None),
    ],
)
def test_kill(sql, kill):
    assert kill_query(sql) == kill


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        ("Code: 47. DB::Exception: Unknown x. (UNKNOWN_IDENTIFIER)", 47, "Unknown x. (UNKNOWN_IDENTIFIER)"),
        (
            "Streaming query failed: Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)",
            394,
            "Query was cancelled. (QUERY_WAS_CANCELLED)",
        ),
        (
            "Code: 115. DB::Exception: Code: 115. DB::Exception: Unknown setting 'n'. (UNKNOWN_SETTING) "
            "(version 26.9.2.1). (UNKNOWN_SETTING)",
            115,
            "Unknown setting 'n'. (UNKNOWN_SETTING)",
        ),
        ("no code at all", 49, "no code at all"),
    ],
)
def test_errors_of_the_engine(message, code, text):
    error = from_engine(message)
    assert (error.code, error.text) == (code, text)
