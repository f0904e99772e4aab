"""The read-only user: what it may do, and what it cannot get at by any spelling, on both protocols."""

import functools

import clickhouse_driver
import httpx
import pytest
from clickhouse_driver.errors import ServerException

from deploy.embedded.clickhouse.access import lists
from tests.contract.conftest import READER_PASSWORD

ALLOWED = [
    "SELECT 1",
    "SELECT a, sumIf(a, b = 'x') AS s, uniqExactIf(b, a > 1), COUNT(DISTINCT b) FROM t GROUP BY a ORDER BY s LIMIT 5",
    "WITH x AS (SELECT 1 AS y) SELECT * FROM x CROSS JOIN numbers(3) AS n",
    "FROM t SELECT a",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "SELECT name FROM system.tables WHERE database = currentDatabase()",
    "SELECT system.columns.name FROM system.columns LIMIT 1",
    "SELECT table_name FROM information_schema.tables LIMIT 1",
    "SHOW TABLES",
    "SHOW DATABASES LIKE 'x'",
    "SHOW COLUMNS FROM t",
    "DESCRIBE TABLE t",
    "DESCRIBE (SELECT a FROM t)",
    "EXISTS TABLE t",
    "SHOW CREATE TABLE t",
    "EXPLAIN SELECT a FROM t",
    "SELECT row_number() OVER (PARTITION BY a ORDER BY b) FROM t",
    "SELECT a IN (SELECT a FROM t), a BETWEEN 1 AND 2, CASE WHEN a = 1 THEN 'x' END, a::String FROM t",
    "SELECT * FROM VALUES('a Int8', 1, 2)",
    "SELECT 'file(x)' AS `clicks/s`, \"b\" AS system FROM t ORDER BY `clicks/s`",
    "SELECT * EXCEPT (a), COLUMNS('b') APPLY (length) FROM t -- file('x')",
    "SELECT toStartOfInterval(now(), INTERVAL 1 HOUR), toUnixTimestamp(now64()), date_trunc('day', NOW())",
    "SELECT name, value, readonly FROM system.settings LIMIT 3",
    "SELECT avgMerge(s), median(m) FROM (SELECT avgState(a) AS s, any(a) AS m FROM t)",
]
# Each gets at a file, the network, other users' work or more power, in some spelling.
REFUSED = [
    # files
    "SELECT * FROM file('{secret}', 'LineAsString')",
    "SELECT file('{secret}')",
    "SELECT `file`('{secret}')",
    "SELECT \"file\" /* x */ ('{secret}')",
    "SELECT * FROM\n--x\nFiLe('{secret}', 'LineAsString')",
    "SELECT * FROM `{secret}`",
    "SELECT * FROM '{secret}'",
    "SELECT * FROM \u201c{secret}\u201d",
    "SELECT 1 IN `{secret}`",
    "DESCRIBE TABLE file('{secret}', 'LineAsString')",
    "DESCRIBE TABLE `{secret}`",
    "DESCRIBE (SELECT file('{secret}'))",
    "EXPLAIN SELECT file('{secret}')",
    "EXPLAIN AST SELECT file('{secret}')",
    "EXPLAIN ESTIMATE SELECT * FROM file('{secret}')",
    "SELECT * FROM filesystem('{folder}')",
    "SELECT 1 FORMAT Template SETTINGS format_template_row = '{secret}'",
    "SELECT 1 FORMAT Protobuf SETTINGS format_schema = '{secret}'",
    # in every place of a SELECT
    "WITH file('{secret}') AS y SELECT y",
    "WITH x AS (SELECT file('{secret}') AS f) SELECT f FROM x",
    "WITH (SELECT file('{secret}')) AS f SELECT f",
    "SELECT a FROM t WHERE file('{secret}') != ''",
    "SELECT a FROM t PREWHERE file('{secret}') != ''",
    "SELECT count() FROM t GROUP BY file('{secret}')",
    "SELECT a FROM t GROUP BY a HAVING file('{secret}') != ''",
    "SELECT a FROM t ORDER BY file('{secret}')",
    "SELECT a FROM t LIMIT length(file('{secret}'))",
    "SELECT a FROM t LIMIT 1 BY file('{secret}')",
    "SELECT a FROM t ORDER BY a WITH FILL FROM length(file('{secret}'))",
    "SELECT a, b FROM t ORDER BY a WITH FILL INTERPOLATE (b AS file('{secret}'))",
    "SELECT sum(a) OVER (PARTITION BY file('{secret}')) FROM t",
    "SELECT sum(a) OVER w FROM t WINDOW w AS (ORDER BY file('{secret}'))",
    "SELECT sum(a) OVER w FROM t QUALIFY file('{secret}') != '' WINDOW w AS (ORDER BY a)",
    "SELECT * FROM t JOIN t AS u ON file('{secret}') = u.b",
    "SELECT * FROM t ARRAY JOIN splitByChar(',', file('{secret}')) AS z",
    "SELECT * APPLY (file) FROM (SELECT '{secret}' AS f)",
    "SELECT * APPLY (x -> file(x)) FROM (SELECT '{secret}' AS f)",
    "SELECT * REPLACE (file('{secret}') AS a) FROM t",
    "SELECT COLUMNS('f') APPLY file FROM (SELECT '{secret}' AS f)",
    "SELECT arrayMap(x -> file(x), ['{secret}'])",
    "SELECT * FROM view(SELECT file('{secret}'))",
    "SELECT 1 UNION ALL SELECT 1 FROM file('{secret}', 'LineAsString')",
    "SELECT 1 INTERSECT SELECT 1 FROM file('{secret}', 'LineAsString')",
    "SELECT 1 IN (SELECT file('{secret}'))",
    "SELECT EXISTS (SELECT file('{secret}'))",
    "SHOW TABLES WHERE file('{secret}') != ''",
    "SHOW COLUMNS FROM t WHERE file('{secret}') != ''",
    # the network and other engines
    *(
        f"SELECT * FROM {call}"
        for call in (
            "url('http://127.0.0.1:1/x', 'CSV', 'a Int8')",
            "s3('http://127.0.0.1:1/x/y', 'CSV', 'a Int8')",
            "s3Cluster('default', 'http://127.0.0.1:1/x/y')",
            "gcs('http://127.0.0.1:1/x/y')",
            "remote('127.0.0.1:1', system.one)",
            "remoteSecure('127.0.0.1:1', system.one)",
            "cluster('default', system.one)",
            "clusterAllReplicas('default', system.one)",
            "mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
            "postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
            "mongodb('127.0.0.1:1', 'a', 'b', 'c', 'd', 'x Int8')",
            "redis('127.0.0.1:1', 'k', 'k String')",
            "hdfs('hdfs://127.0.0.1:1/x', 'CSV', 'a Int8')",
            "jdbc('a', 'b')",
            "odbc('a', 'b')",
            "sqlite('{secret}', 't')",
            "azureBlobStorage('x', 'y', 'z')",
            "iceberg('http://127.0.0.1:1/x')",
            "icebergLocal('{secret}')",
            "deltaLake('http://127.0.0.1:1/x')",
            "deltaLakeLocal('{secret}')",
            "hudi('http://127.0.0.1:1/x')",
            "paimonLocal('{secret}')",
            "arrowFlight('127.0.0.1:1', 'x')",
            "executable('ls', 'TSV', 'a String')",
            "input('a String')",
            "dictionary('x')",
            "python(x)",
            "Python(x)",
            "merge('system', '.*')",
            "loop(system.users)",
            "eval('SELECT 1')",
            "viewExplain('EXPLAIN', '', (SELECT 1))",
            "mergeTreeIndex('default', 't')",
            "(EXPLAIN SELECT 1)",
        )
    ),
    "SELECT 1 IN url('http://127.0.0.1:1')",
    "SELECT dictGet('x', 'y', 1)",
    "SELECT joinGet('t', 'a', 1)",
    "SELECT hasColumnInTable('default', 't', 'a')",
    "SELECT aiGenerate('x')",
    "SELECT getSetting('max_memory_usage')",
    "SELECT getServerSetting('x')",
    "SELECT getMacro('x')",
    "SELECT addressToSymbol(1)",
    "SELECT logTrace('x')",
    "SELECT currentProfiles()",
    # other users' work, and the server's insides
    "SELECT * FROM system.processes",
    'SELECT * FROM `system` . "processes"',
    "SELECT * FROM system.query_log",
    "SELECT * FROM system.users",
    "SELECT * FROM system.dictionaries",
    "SELECT * FROM system.server_settings",
    "SELECT * FROM system.named_collections",
    "SELECT 1 IN system.processes",
    "SELECT 1 NOT IN (system.processes)",
    "SHOW PROCESSLIST",
    "SHOW GRANTS",
    "SHOW USERS",
    "SHOW CREATE USER default",
    "SHOW CREATE TABLE system.users",
    "SHOW CLUSTERS",
    "SHOW MERGES",
    "SHOW ENGINES",
    "DESCRIBE TABLE system.processes",
    # more than one statement, or another one
    "SELECT 1; DROP TABLE t",
    "SELECT \u2018 -- \u2019; DROP TABLE t",
    "SELECT 1 PARALLEL WITH DROP TABLE t",
    "WITH 1 AS x INSERT INTO t SELECT x, ''",
    "EXPLAIN INSERT INTO t SELECT 1, ''",
    "EXPLAIN TABLE OVERRIDE mysql('a') PARTITION BY x",
    "SELECT 1 INTO OUTFILE '{folder}/out'",
    "SELECT 1 INTO/**/outfile '{folder}/out' TRUNCATE FORMAT CSV",
    "INSERT INTO t SELECT 1, ''",
    "INSERT INTO FUNCTION file('{folder}/out', 'CSV', 'a Int8') SELECT 1",
    "CREATE TABLE x (a Int8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE FUNCTION f AS x -> file(x)",
    "CREATE VIEW v AS SELECT 1",
    "ALTER TABLE t DELETE WHERE 1",
    "DROP TABLE t",
    "TRUNCATE TABLE t",
    "OPTIMIZE TABLE t",
    "ATTACH TABLE x",
    "DETACH TABLE t",
    "RENAME TABLE t TO u",
    "BACKUP TABLE t TO File('{folder}/out')",
    "KILL QUERY WHERE 1",
    "SYSTEM SHUTDOWN",
    "GRANT ALL ON *.* TO reader",
    "CREATE USER x",
    "EXECUTE AS default SELECT 1",
    "COPY t TO '{folder}/out'",
    "BEGIN TRANSACTION",
    "USE system",
    # settings
    "SET max_memory_usage = 0",
    "SET max_execution_time = 3600",
    "SET max_result_rows = DEFAULT",
    "SET result_overflow_mode = 'break'",
    "SET readonly = 0",
    "SET allow_ddl = 1",
    "SET max_threads = 1, readonly = 0",
    "SET ROLE ALL",
    "SET param_x = 1",
    "SELECT 1 SETTINGS max_memory_usage = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 FROM t SETTINGS additional_table_filters = {{'t': 'file(\\'{secret}\\') = 1'}}",
    "SELECT * FROM {{t:Identifier}}",
]
# Refused in that way; others have the code of their mistake (syntax, several statements).
DENIED = {497, 164, 452, 48, 62, 456}


class Refusal(Exception):
    def __init__(self, code):
        self.code = code
        super().__init__(code)


def over_http(target, sql, **parameters):
    given = {"database": target.database, "user": "reader", "password": READER_PASSWORD}
    # So that an error behind the first rows has a status, too.
    parameters = {**given, "wait_end_of_query": "1", **parameters}
    answer = httpx.post(target.http_url, params=parameters, content=sql.encode(), timeout=60, trust_env=False)
    if answer.status_code != 200:
        raise Refusal(int(answer.headers["X-ClickHouse-Exception-Code"]))
    return answer.text


def over_native(target, sql, **settings):
    options = {"user": "reader", "password": READER_PASSWORD, "database": target.database}
    client = clickhouse_driver.Client(
        target.host, target.port, settings=settings, settings_is_important=True, **options
    )
    try:
        return client.execute(sql)
    except ServerException as error:
        raise Refusal(error.code) from error
    finally:
        client.disconnect()


@pytest.fixture(scope="module", params=[over_http, over_native], ids=["http", "native"])
def protocol(request):
    return request.param


@pytest.fixture(scope="module")
def embedded_server(any_http_server):
    if any_http_server.embedded is None:
        pytest.skip("a real server's users are its own")
    return any_http_server


@pytest.fixture(scope="module")
def ask(embedded_server, protocol):
    """Asks as the reader, on each protocol."""
    owner = clickhouse_driver.Client(
        embedded_server.host,
        embedded_server.port,
        user=embedded_server.user,
        password=embedded_server.password,
    )
    owner.execute("CREATE OR REPLACE TABLE default.t (a UInt32, b String) ENGINE = MergeTree ORDER BY a")
    owner.execute("INSERT INTO default.t VALUES", [(1, "x"), (2, "y")])
    yield functools.partial(protocol, embedded_server)
    # Nothing that was tried has changed anything.
    assert owner.execute("SELECT * FROM default.t ORDER BY a") == [(1, "x"), (2, "y")]
    assert owner.execute("SHOW TABLES FROM default") == [("t",)]
    owner.disconnect()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A file that must not be read, in a folder that must not be written."""
    folder = tmp_path_factory.mktemp("private")
    secret = folder / "secret.csv"
    secret.write_text("1\n")
    yield {"folder": str(folder), "secret": str(secret)}
    assert [path.name for path in folder.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize("sql", ALLOWED)
def test_it_may_look(ask, sql):
    ask(sql)


@pytest.mark.parametrize("sql", REFUSED)
def test_it_may_do_nothing_else(ask, places, sql):
    with pytest.raises(Refusal) as caught:
        ask(sql.format(**places))
    assert caught.value.code in DENIED


class TestLimits:
    def test_a_result_may_have_so_many_rows(self, ask):
        most = lists.LIMITS["max_result_rows"]
        with pytest.raises(Refusal) as caught:
            ask(f"SELECT number FROM numbers({most + 1}) GROUP BY number")
        assert caught.value.code == 396

    def test_and_so_many_bytes(self, ask):
        with pytest.raises(Refusal) as caught:
            ask("SELECT repeat('x', 1000000) FROM numbers(400) GROUP BY number")
        assert caught.value.code in (396, 241)

    def test_a_statement_may_use_so_much_memory(self, ask):
        with pytest.raises(Refusal) as caught:
            ask("SELECT length(groupArray(number)) FROM numbers(1000000000)")
        assert caught.value.code == 241

    def test_and_so_much_time_of_which_it_may_ask_for_less(self, ask):
        with pytest.raises(Refusal) as caught:
            ask(
                "SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number))",
                max_execution_time="1",
            )
        assert caught.value.code == 159

    @pytest.mark.parametrize("name", sorted(lists.LIMITS))
    def test_it_cannot_ask_for_more(self, ask, name):
        for value in ("0", str(lists.LIMITS[name] + 1), "-1", "1e3", "inf"):
            with pytest.raises(Refusal) as caught:
                ask("SELECT 1", **{name: value})
            assert caught.value.code == 452

    @pytest.mark.parametrize(
        "name",
        [
            "allow_ddl",
            "format_schema",
            "format_template_row",
            "additional_table_filters",
            "serialize_query_plan",
        ],
    )
    def test_nor_change_what_is_not_harmless(self, ask, name):
        with pytest.raises(Refusal) as caught:
            ask("SELECT 1", **{name: "1"})
        assert caught.value.code in (164, 497)

    def test_harmless_settings_work(self, ask):
        ask("SELECT 1", max_threads="1", join_use_nulls="1", max_result_rows="10")


class TestHttp:
    """What only HTTP lets a client say."""

    def test_formats_that_read_files_are_refused(self, embedded_server):
        with pytest.raises(Refusal) as caught:
            over_http(embedded_server, "SELECT 1", default_format="Template")
        assert caught.value.code == 497

    def test_the_database_system_is_not_for_names_without_one(self, embedded_server):
        with pytest.raises(Refusal) as caught:
            over_http(embedded_server, "SELECT * FROM processes", database="system")
        assert caught.value.code == 497

    def test_a_parameter_is_no_name(self, embedded_server):
        for sql in ("SELECT * FROM {t:Identifier}", "SELECT 1 IN {t:Identifier}"):
            with pytest.raises(Refusal) as caught:
                over_http(embedded_server, sql, param_t="system.processes")
            assert caught.value.code in (497, 62)

    def test_a_session_keeps_harmless_settings(self, embedded_server):
        over_http(embedded_server, "SET output_format_json_quote_64bit_integers = 1", session_id="reader-1")
        text = over_http(
            embedded_server, "SELECT toUInt64(1) AS n", session_id="reader-1", default_format="JSONEachRow"
        )
        assert text == '{"n":"1"}\n'

    def test_sessions_belong_to_their_user(self, embedded_server):
        owner = {"user": embedded_server.user, "password": embedded_server.password}
        over_http(embedded_server, "CREATE TEMPORARY TABLE mine (a Int8)", session_id="shared", **owner)
        with pytest.raises(Refusal) as caught:
            over_http(embedded_server, "SELECT * FROM mine", session_id="shared")
        assert caught.value.code == 60


def test_its_statements_are_listed_under_its_name_and_can_be_killed(embedded_server):
    with pytest.raises(Refusal) as caught:
        over_native(embedded_server, "KILL QUERY WHERE user = 'reader' SYNC")
    assert caught.value.code == 497


def test_the_old_engine_has_no_reader(python_248, tmp_path):
    """It cannot keep one connection from writing without the others."""
    from deploy.embedded.clickhouse import ClickHouseServer
    from deploy.embedded.supervise import ChildFailed

    with pytest.raises(ChildFailed, match="isolated"):
        ClickHouseServer(tmp_path / "data", python=python_248, reader_password="x").start()
