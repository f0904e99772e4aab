"""A statement that runs at the server for as long as nobody ends it."""

import threading
import time
from contextlib import closing

from sinks.clickhouse.client import connect
from sinks.clickhouse.settings import ClickHouseSettings


class Statement:
    """A statement that runs for minutes, in a thread."""

    def __init__(self, settings: ClickHouseSettings, comment: str) -> None:
        self._connection = connect(settings)
        self._comment = comment
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._settings = settings
        while not self.running:
            time.sleep(0.02)

    def _run(self) -> None:
        try:
            self._connection.execute(
                "SELECT sum(sleepEachRow(0.05)) FROM numbers(4000)",
                {
                    "log_comment": self._comment,
                    "max_block_size": 1,
                    "function_sleep_max_microseconds_per_block": 1 << 40,
                },
            )
        except Exception as error:
            self._error = error
        finally:
            self._connection.close()

    @property
    def running(self) -> bool:
        """Whether the server is at it. Who sent it may hear of its end later."""
        sql = "SELECT count() FROM system.processes WHERE Settings['log_comment'] = %(comment)s"
        with closing(connect(self._settings)) as probe:
            return bool(probe.query(sql, {"comment": self._comment})[0][0])

    def wait(self) -> Exception | None:
        self._thread.join()
        return self._error
