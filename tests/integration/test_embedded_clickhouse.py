"""kill -9 of the embedded ClickHouse: what is there afterwards are whole blocks, and all that was acknowledged."""

import threading

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import Error as DriverError

from deploy.embedded.clickhouse import ClickHouseServer
from deploy.embedded.clickhouse.spill import spill_folder

ROWS = 5_000


class Writer:
    """Inserts numbered blocks until the server is gone. `acknowledged` counts those that were answered."""

    def __init__(self, server, enough):
        self.acknowledged = 0
        self.enough = enough
        self.client = Client(server.host, server.port)
        self.client.execute("CREATE TABLE t (block UInt32, n UInt32, s String) ENGINE = MergeTree ORDER BY n")
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _write(self):
        numbers, texts = list(range(ROWS)), ["x" * 50] * ROWS
        try:
            while True:
                block = [[self.acknowledged] * ROWS, numbers, texts]
                self.client.execute("INSERT INTO t VALUES", block, columnar=True)
                self.acknowledged += 1
                if self.acknowledged == self.enough[0]:
                    self.enough[1].set()
        except (DriverError, OSError, EOFError):
            self.client.disconnect()


@pytest.mark.parametrize("blocks", [1, 7])
def test_whole_blocks_only(tmp_path, blocks):
    server = ClickHouseServer(tmp_path / "data")
    server.start()
    try:
        enough = threading.Event()
        writer = Writer(server, (blocks, enough))
        assert enough.wait(120)
        server.kill()
        writer.thread.join(60)
        assert not writer.thread.is_alive()
        assert not spill_folder(server.path).exists()
        server.start()
        with Client(server.host, server.port) as client:
            found = client.execute("SELECT block, count(), sum(n) FROM t GROUP BY block ORDER BY block")
            whole = [(block, ROWS, sum(range(ROWS))) for block in range(len(found))]
            assert found == whole
            assert writer.acknowledged <= len(found) <= writer.acknowledged + 1
            client.execute("INSERT INTO t VALUES", [(99, 1, "goes on")])
            assert client.execute("SELECT count() FROM t WHERE block = 99") == [(1,)]
    finally:
        server.stop()
