"""One connection to ClickHouse over the native protocol: the only module that imports clickhouse_driver.

A connection serves one thread. It connects when it is first used, and again after an error.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import polars as pl
from clickhouse_driver import Client
from clickhouse_driver.block import BlockInfo, ColumnOrientedBlock
from clickhouse_driver.errors import Error as DriverError
from clickhouse_driver.errors import ServerException
from clickhouse_driver.protocol import ClientPacketTypes, ServerPacketTypes
from clickhouse_driver.varint import write_varint
from clickhouse_driver.writer import write_binary_str

from sinks.clickhouse.columns import Column
from sinks.clickhouse.errors import Refused, Unavailable, server_error
from sinks.clickhouse.pack import Block
from sinks.clickhouse.read import FrameBlock, Made, joined, read_block
from sinks.clickhouse.settings import ClickHouseSettings

REVISION = 54453
"""The last protocol revision in which a column's data is never preceded by a note on its serialization, in neither direction."""

Settings = Mapping[str, Any]
Row = tuple[Any, ...]


class Connection:
    """A connection for one thread.

    Every method raises Unavailable where there is no connection or the outcome is unknown, and Refused (NotOwner) where the server says no.
    """

    def __init__(self, settings: ClickHouseSettings, database: str | None = None) -> None:
        self.settings = settings
        # The driver warns of every failed attempt with a traceback; whoever calls decides what it means.
        logging.getLogger("clickhouse_driver.connection").setLevel(logging.CRITICAL)
        self._client = Client(
            settings.host,
            port=settings.port,
            database=settings.database if database is None else database,
            user=settings.user,
            password=settings.password,
            secure=settings.secure,
            compression="lz4" if settings.compression else False,
            connect_timeout=settings.connect_timeout,
            send_receive_timeout=settings.timeout,
            sync_request_timeout=settings.connect_timeout,
            client_name="funnel",
            tcp_keepalive=True,
            client_revision=REVISION,
            settings_is_important=True,
        )

    def execute(self, sql: str, settings: Settings | None = None) -> None:
        """Run a statement and wait for its end."""
        self.query(sql, settings=settings)

    def query(
        self, sql: str, parameters: Mapping[str, Any] | None = None, settings: Settings | None = None
    ) -> list[Row]:
        """Return the rows of a query. ``%(name)s`` in ``sql`` is replaced by the escaped parameter of that name."""
        with self._failing():
            rows: list[Row] = self._client.execute(
                sql, dict(parameters) if parameters else None, settings=dict(settings or {})
            )
            return rows

    def query_named(self, sql: str) -> tuple[list[str], list[Row]]:
        """Return the names of a query's columns, and its rows; both are empty for a statement that answers nothing."""
        with self._failing():
            rows, columns = self._client.execute(sql, with_column_types=True)
            return [name for name, _ in columns], rows

    def query_frame(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
        made: Made | None = None,
    ) -> pl.DataFrame:
        """Return the rows of a query as a frame: numbers and strings without a Python object per value. ``made``: as for `read_block`."""
        return joined(list(self._blocks(sql, parameters, settings, partial(read_block, made=made or {}))))

    def query_frames(
        self, sql: str, settings: Settings | None = None, made: Made | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of a query as a frame per block, as they arrive.

        ``made``: as for `read_block`. Until the last one is there the connection serves nothing else; one that is not read to its end is closed.
        """
        for block in self._blocks(sql, None, settings, partial(read_block, made=made or {})):
            if block.num_rows:
                yield pl.DataFrame(block.columns)

    def _blocks(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None,
        settings: Settings | None,
        read: Callable[[Any], FrameBlock] = read_block,
    ) -> Iterator[FrameBlock]:
        with self._failing(), self._client.disconnect_on_error(sql, dict(settings or {})):
            connection = self._client.connection
            if parameters:
                sql = self._client.substitute_params(sql, dict(parameters), connection.context)
            connection.send_query(sql)
            connection.send_external_tables(None)
            try:
                with _reading_frames(connection, read):
                    for packet in self._client.packet_generator():
                        if packet.type == ServerPacketTypes.DATA:
                            yield packet.block
            except GeneratorExit:
                self._client.disconnect()
                raise

    def insert_rows(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert a few rows of Python values."""
        with self._failing():
            self._client.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES", list(rows))

    def insert_block(self, table: str, block: Block, settings: Settings) -> None:
        """Insert ``block`` as the one block of one INSERT. Raises Refused (code 0) where the table's columns are of other types."""
        columns = [packed.column for packed in block.columns]
        sql = f"INSERT INTO {table} ({', '.join(column.name for column in columns)}) FORMAT Native"
        with self._failing(), self._client.disconnect_on_error(sql, dict(settings)):
            connection = self._client.connection
            connection.send_query(sql)
            connection.send_external_tables(None)
            sample = self._client.receive_sample_block()
            expected = [Column(name, kind) for name, kind in sample.columns_with_types]
            if expected != columns:
                raise Refused(0, f"{table} has {_differing(expected, columns)}")
            self._send(connection, block)
            connection.send_data(ColumnOrientedBlock())
            self._client.receive_end_of_insert_query()

    def columns(self, table: str) -> list[Column]:
        """Return the columns of a table, in order; none if there is no such table."""
        rows = self.query(
            "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = %(table)s ORDER BY position",
            {"table": table},
        )
        return [Column(*row) for row in rows]

    def close(self) -> None:
        """Close the connection. It may be used again."""
        self._client.disconnect()

    def _send(self, connection: Any, block: Block) -> None:
        """Send a data packet with a packed block. Without compression its buffers go to the socket as they are."""
        write_varint(ClientPacketTypes.DATA, connection.fout)
        write_binary_str("", connection.fout)
        stream = connection.block_out.fout
        BlockInfo().write(stream)
        if stream is connection.fout:
            stream.flush()
            for chunk in block.chunks():
                connection.socket.sendall(chunk)
        else:
            for chunk in block.chunks():
                stream.write(bytes(chunk))
            connection.block_out.finalize()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn the driver's errors into ours."""
        try:
            yield
        except ServerException as error:
            raise server_error(error.code, error.message) from error
        except (DriverError, OSError, EOFError) as error:
            self._client.disconnect()
            raise Unavailable(
                0, f"{self.settings.host}:{self.settings.port}: {error or type(error).__name__}"
            ) from error


def connect(settings: ClickHouseSettings) -> Connection:
    """Return a connection to ``settings.database``. Nothing is sent before it is used."""
    return Connection(settings)


@contextmanager
def _reading_frames(connection: Any, read: Callable[[Any], FrameBlock]) -> Iterator[None]:
    """Let the driver read the blocks of results by ``read``."""
    stream = connection.block_in

    def read_all(use_numpy: bool | None = None) -> FrameBlock:
        BlockInfo().read(stream.fin)
        return read(stream.fin)

    stream.read = read_all
    try:
        yield
    finally:
        del stream.read


def _differing(expected: Sequence[Column], columns: Sequence[Column]) -> str:
    differing = [
        f"{one.name} {one.type}" for one, other in zip(expected, columns, strict=False) if one != other
    ]
    return ", ".join(differing) or f"{len(expected)} of {len(columns)} columns"
