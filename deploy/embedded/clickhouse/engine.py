"""The engine: chDB, ClickHouse in this process. The only module that imports it.

One process may open a data path, once. Since chDB 4 a connection has settings and a database of its own and
runs beside the others; older ones (engine 24.8) share both and run one statement at a time: `Lane` hides it.
"""

import json
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chdb

from deploy.embedded.clickhouse import default_database
from deploy.embedded.clickhouse.errors import UNKNOWN_SETTING, ServerError, from_engine

# The engine's own defaults for embedded use, put back to a server's.
SERVER_DEFAULTS = {"implicit_select": "0"}
FLOOR = "min_free_disk_bytes_to_perform_insert"
CHANGED = "SELECT name, value FROM system.settings WHERE changed AND name NOT IN ('database')"
_SETTING_NAME = re.compile(r"[A-Za-z_]\w*")
_COUNTERS = ("storage_rows_read", "storage_bytes_read", "rows_written", "bytes_written")
_UNSTREAMED = "Streaming query is not supported"


@dataclass(slots=True)
class Context:
    """What a statement runs with: the current database, settings and parameters (name → value as text)."""

    database: str = "default"
    settings: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a result: its bytes, rows and what was read from storage and written for it.

    `view` lives as long as the chunk does.
    """

    view: memoryview
    rows_read: int
    bytes_read: int
    owner: Any
    storage_rows: int = 0
    storage_bytes: int = 0
    rows_written: int = 0
    bytes_written: int = 0


class Lane:
    """A connection to the engine: runs one statement at a time, under the context it is given."""

    def __init__(self, connection: Any, floor: int = 0) -> None:
        self._connection = connection
        self._lock = threading.RLock()
        self._database = "default"
        self._applied: dict[str, str] = {}
        self._baseline: set[str] = set()
        self._sealed = False
        self._set_server_defaults(SERVER_DEFAULTS | {FLOOR: str(floor)})

    def query(self, sql: str, context: Context, output: str = "Native") -> Chunk:
        """Run a statement to its end. Raises ServerError with the engine's code and text."""
        with self._lock:
            self._align(context)
            return self._query(sql, output, context.parameters)

    def rows(self, sql: str, context: Context) -> list[list[Any]]:
        """The rows of a small result."""
        return json_rows(self.query(sql, context, "JSONCompactEachRow"))

    def stream(self, sql: str, context: Context, output: str = "Native") -> Generator[Chunk]:
        """Run a statement, give its result in pieces as they come, each a whole one in the format `output`.

        Close the iterator to stop the statement.
        """
        if not hasattr(self._connection, "send_query"):
            yield self.query(sql, context, output)
            return
        with self._lock:
            self._align(context)
            yield from self._stream(sql, output, context.parameters)

    def remember(self, sql: str, context: Context) -> Context:
        """Run SET or USE and return the context that it leaves behind (without `context`'s other changes)."""
        with self._lock:
            self._align(context)
            self._query(sql, "Null")
            changed = {
                str(name): str(value) for name, value in json_rows(self._query(CHANGED, "JSONCompactEachRow"))
            }
            self._applied = {name: value for name, value in changed.items() if name not in self._baseline}
            self._database = str(
                json_rows(self._query("SELECT currentDatabase()", "JSONCompactEachRow"))[0][0]
            )
            return Context(self._database, dict(self._applied))

    def seal(self, context: Context, level: int = 1) -> None:
        """Keep this context for good and let the engine refuse whatever writes (and, at level 1, SET)."""
        with self._lock:
            self._align(context)
            self._query(f"SET readonly = {level}", "Null")
            self._sealed = True

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _query(self, sql: str, output: str, parameters: Mapping[str, str] | None = None) -> Chunk:
        # Engine 24.8 knows no parameters.
        more = {"params": dict(parameters)} if parameters else {}
        try:
            result = self._connection.query(_encoded(sql), output, **more)
        except (RuntimeError, chdb.ChdbError) as error:
            raise from_engine(str(error)) from None
        return _chunk(result)

    def _stream(self, sql: str, output: str, parameters: Mapping[str, str]) -> Generator[Chunk]:
        more = {"params": dict(parameters)} if parameters else {}
        try:
            result = self._connection.send_query(_encoded(sql), output, **more)
        except (RuntimeError, chdb.ChdbError) as error:
            if _UNSTREAMED not in str(error):
                raise from_engine(str(error)) from None
            yield self._query(sql, output, parameters)
            return
        with closing(result):
            while (chunk := _fetch(result)) is not None:
                yield _chunk(chunk)

    def _align(self, context: Context) -> None:
        """Give the connection the context's database and settings; undo what an earlier statement needed."""
        if self._sealed:
            return
        if context.database != self._database:
            self._query(f"USE {identifier(context.database)}", "Null")
            self._database = context.database
        wanted = context.settings
        changes = {name: literal(value) for name, value in wanted.items() if self._applied.get(name) != value}
        changes.update({name: "DEFAULT" for name in self._applied if name not in wanted})
        if changes:
            self._set(changes)
            self._applied = dict(wanted)

    def _set(self, changes: Mapping[str, str]) -> None:
        for name in changes:
            if not _SETTING_NAME.fullmatch(name):
                raise ServerError(UNKNOWN_SETTING, f"Unknown setting '{name}'. (UNKNOWN_SETTING)")
        try:
            self._query("SET " + ", ".join(f"{name} = {value}" for name, value in changes.items()), "Null")
        except ServerError:
            # Some of them may have been set: back to a known state.
            for name in {*changes, *self._applied}:
                with suppress(ServerError):
                    self._query(f"SET {name} = DEFAULT", "Null")
            self._applied = {}
            raise

    def _set_server_defaults(self, defaults: Mapping[str, str]) -> None:
        for name, value in defaults.items():
            with suppress(ServerError):
                self._query(f"SET {name} = {value}", "Null")
        self._baseline = {str(row[0]) for row in json_rows(self._query(CHANGED, "JSONCompactEachRow"))}


class Engine:
    """The engine over one data path. `control` is a lane for the front's own questions.

    `floor`: bytes that must be free on the disk for an insert to begin.
    """

    def __init__(self, path: Path, floor: int = 0) -> None:
        self._path = str(path)
        self._floor = floor
        self.isolated = int(chdb.chdb_version[0]) >= 4
        if not self.isolated:
            default_database.put_aside(path)
        self.control = Lane(chdb.connect(self._path), floor)
        if not self.isolated:
            default_database.put_back(lambda sql: self.control.query(sql, Context()), path)
        version, self.timezone, self.name = self.control.rows(
            "SELECT version(), timezone(), hostName()", Context()
        )[0]
        major, minor, patch = str(version).split(".")[:3]
        self.version = (int(major), int(minor), int(patch))

    def lane(self) -> Lane:
        """A lane for one client. Close it with `release`."""
        return Lane(chdb.connect(self._path), self._floor) if self.isolated else self.control

    def release(self, lane: Lane) -> None:
        if lane is not self.control:
            lane.close()

    def close(self) -> None:
        self.control.close()


def json_rows(chunk: Chunk) -> list[list[Any]]:
    """Rows of a result in JSONCompactEachRow."""
    return [json.loads(line) for line in bytes(chunk.view).splitlines()]


def literal(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(name: str) -> str:
    """A name as a quoted SQL identifier."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _encoded(sql: str) -> str | bytes:
    """Bytes for a text that is not one: they reach the engine as they came in."""
    try:
        sql.encode()
    except UnicodeEncodeError:
        return sql.encode(errors="surrogateescape")
    return sql


def _fetch(result: Any) -> Any:
    try:
        return result.fetch()
    except (RuntimeError, chdb.ChdbError) as error:
        raise from_engine(str(error)) from None


def _chunk(result: Any) -> Chunk:
    if hasattr(result, "has_error") and result.has_error():
        raise from_engine(result.error_message())
    # Engine 24.8 does not count all of them.
    more = [getattr(result, name, int)() for name in _COUNTERS]
    if result.size() == 0:
        return Chunk(memoryview(b""), 0, 0, result, *more)
    view = result.get_memview()
    return Chunk(view.view(), result.rows_read(), result.bytes_read(), (result, view), *more)
