"""Statements that are stopped: KILL QUERY, Cancel, clients that go away."""

import threading
import time
import uuid

import pytest
from clickhouse_driver.errors import ServerException

ENDLESS = "SELECT count() FROM system.numbers WHERE NOT ignore(sipHash64(number))"
# About two seconds, for engines that cannot stop a running statement.
SLOW = "SELECT sleepEachRow(0.1) FROM numbers(20) SETTINGS max_block_size = 1"


class Victim:
    """A statement running in a thread of its own; `error` is what it ended with."""

    def __init__(self, client, sql, **options):
        self.error = None
        self._thread = threading.Thread(target=self._run, args=(client, sql, options))
        self._thread.start()

    def _run(self, client, sql, options):
        try:
            client.execute(sql, **options)
        except Exception as error:
            self.error = error

    def join(self):
        self._thread.join(60)
        assert not self._thread.is_alive(), "the statement never ended"


def kill_until_found(client, condition, mode="SYNC"):
    """The rows of the first KILL QUERY that found something: a statement needs a moment to begin."""
    for _ in range(200):
        if rows := client.execute(f"KILL QUERY WHERE {condition} {mode}"):
            return rows
        time.sleep(0.02)
    raise AssertionError(f"no statement with {condition}")


@pytest.fixture
def killer(connect):
    """A client that is connected already: an engine that runs one statement at a time lets nobody in meanwhile."""
    client = connect()
    client.execute("SELECT 1")
    return client


@pytest.fixture
def sql(server):
    return ENDLESS if server.interrupts else SLOW


class TestKillQuery:
    def test_by_comment(self, server, connect, killer, sql):
        comment = f"group {uuid.uuid4()}; owner 'x'"
        victim = Victim(connect(), sql, settings={"log_comment": comment})
        prefix = comment[:20]
        rows = kill_until_found(killer, f"Settings['log_comment'] LIKE '{prefix}%'")
        victim.join()
        assert [(row[0], row[2]) for row in rows] == [("finished", server.user)]
        assert "number" in rows[0][3]
        if server.interrupts:
            assert isinstance(victim.error, ServerException)
            assert victim.error.code == 394

    def test_by_query_id(self, server, connect, killer, sql):
        query_id = str(uuid.uuid4())
        victim = Victim(connect(), sql, query_id=query_id)
        rows = kill_until_found(killer, f"query_id = '{query_id}'")
        victim.join()
        assert [row[1] for row in rows] == [query_id]

    def test_without_waiting(self, server, connect, killer, sql):
        query_id = str(uuid.uuid4())
        victim = Victim(connect(), sql, query_id=query_id)
        rows = kill_until_found(killer, f"query_id = '{query_id}'", mode="ASYNC")
        assert [row[0] for row in rows] == ["waiting"]
        victim.join()

    def test_the_others_run_on(self, server, connect, killer, sql):
        query_id = str(uuid.uuid4())
        client = connect()
        client.execute("SELECT 1")
        spared = Victim(connect(), SLOW, settings={"log_comment": "spared"})
        victim = Victim(client, sql, query_id=query_id)
        kill_until_found(killer, f"query_id = '{query_id}'")
        victim.join()
        spared.join()
        assert spared.error is None

    def test_nothing_to_kill(self, client):
        assert client.execute("KILL QUERY WHERE query_id = 'none' SYNC") == []
        with pytest.raises(ServerException):
            client.execute("KILL QUERY WHERE no_such_column = 1 SYNC")

    def test_an_insert_in_the_engine(self, server, connect):
        """Killed or finished when KILL ... SYNC returns, and then whole or not at all."""
        witness, client = connect(), connect()
        client.execute("SELECT 1")
        witness.execute(
            "CREATE TABLE t (a UInt32, slow UInt8 MATERIALIZED sleepEachRow(0.05)) ENGINE = MergeTree ORDER BY a"
        )
        comment = f"insert {uuid.uuid4()}"
        rows = [(n,) for n in range(40)]
        victim = Victim(client, "INSERT INTO t (a) VALUES", params=rows, settings={"log_comment": comment})
        kill_until_found(witness, f"Settings['log_comment'] = '{comment}'")
        [(count,)] = witness.execute("SELECT count() FROM t")
        victim.join()
        assert count in (0, 40)
        assert (count == 40) == (victim.error is None)
        assert witness.execute("SELECT count() FROM t") == [(count,)]


class TestCancel:
    def test_a_client_cancels_what_it_reads(self, server, connect):
        client = connect()
        source = "system.numbers" if server.interrupts else "numbers(1000000)"
        rows = client.execute_iter(f"SELECT number FROM {source}")
        assert [next(rows)[0] for _ in range(3)] == [0, 1, 2]
        client.cancel()
        assert client.execute("SELECT 1") == [(1,)]

    def test_a_statement_whose_client_has_gone_is_stopped(self, server, connect, killer):
        query_id = str(uuid.uuid4())
        client = connect()
        client.execute("SELECT 1")
        client.connection.send_query(ENDLESS if server.interrupts else SLOW, query_id=query_id)
        client.connection.send_external_tables(None)
        client.disconnect()
        for _ in range(500):
            if not killer.execute(f"KILL QUERY WHERE query_id = '{query_id}' TEST"):
                return
            time.sleep(0.02)
        raise AssertionError("the statement goes on without its client")
