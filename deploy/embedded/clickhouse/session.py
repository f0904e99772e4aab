"""One client's connection: greeting, then packets until it goes away."""

import logging
import socket
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from deploy.embedded.clickhouse import answers, blocks, inserts, packets
from deploy.embedded.clickhouse.access.guard import Guard
from deploy.embedded.clickhouse.access.users import User, Users
from deploy.embedded.clickhouse.answers import Runner
from deploy.embedded.clickhouse.compression import FrameCursor
from deploy.embedded.clickhouse.cursor import GrowingCursor, SocketCursor
from deploy.embedded.clickhouse.engine import Context, Engine
from deploy.embedded.clickhouse.errors import (
    UNEXPECTED_PACKET,
    OutOfStep,
    ProtocolError,
    ServerError,
    Truncated,
    refused,
)
from deploy.embedded.clickhouse.output import Output
from deploy.embedded.clickhouse.registry import Registry, Running
from deploy.embedded.clickhouse.remembering import check_readonly, remember
from deploy.embedded.clickhouse.statements import (
    READING,
    Insert,
    first_word,
    kill_query,
    read_insert,
    without_format,
)
from deploy.embedded.clickhouse.wire import REVISION
from schemas.metrics import FrontMetrics

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class House:
    """What all sessions of a server share. `spill` is the folder for blocks on their way in."""

    engine: Engine
    registry: Registry
    metrics: FrontMetrics
    spill: Path
    users: Users
    guard: Guard


class Session:
    """Serves one socket until the client leaves or breaks the protocol."""

    def __init__(self, house: House, link: socket.socket) -> None:
        self.house = house
        self.link = link
        self.cursor = SocketCursor(link)
        self.frames = FrameCursor(self.cursor)
        self.receiver = inserts.Receiver(house.spill)
        self.out = Output(link)
        self.context = Context()
        self.user = User("", "", reads_only=True)

    def serve(self) -> None:
        """Greet the client and answer its packets. Returns when the connection has to be closed."""
        try:
            self._greet()
            self._answer_packets()
        except (Truncated, OSError):
            pass
        except ServerError as error:
            self._last_words(error)
        except OutOfStep as error:
            self._last_words(error.error)
        except ProtocolError as error:
            log.warning("a client broke the protocol: %s", error)
            self._last_words(
                ServerError(UNEXPECTED_PACKET, f"Unexpected packet: {error}. (UNEXPECTED_PACKET_FROM_CLIENT)")
            )
        finally:
            self.receiver.close()
            self._count_sent()

    def _greet(self) -> None:
        hello = packets.read_hello(self.cursor)
        if hello.revision < REVISION:
            raise refused(f"client revision {hello.revision} (older than {REVISION})")
        self.user = self.house.users.authenticate(hello.user, hello.password)
        engine = self.house.engine
        self.context = Context(hello.database or "default")
        if self.user.reads_only:
            self.house.guard.check_database(self.context.database)
        if self.context.database != "default":
            # An unknown database is an error of the greeting, as with a server.
            engine.control.query("SELECT 1", self.context)
        self.out.packet(packets.hello(engine.version, engine.timezone, engine.name))
        self.out.flush()

    def _answer_packets(self) -> None:
        engine = self.house.engine
        lane = engine.lane()
        try:
            runner = Runner(engine, lane, self.house.registry)
            while True:
                self.cursor.forget()
                self._answer(self.cursor.varint(), runner)
                self.out.flush()
        finally:
            engine.release(lane)

    def _answer(self, packet: int, runner: Runner) -> None:
        match packet:
            case packets.FromClient.PING:
                self.out.packet(packets.PONG)
            case packets.FromClient.QUERY:
                self._answer_query(packets.read_query(self.cursor), runner)
            case packets.FromClient.CANCEL:
                pass  # The statement it was meant for has already been answered.
            case _:
                raise ProtocolError(f"packet {packet} where a query was expected")

    def _answer_query(self, query: packets.Query, runner: Runner) -> None:
        plain = self.frames if query.compressed else self.cursor
        external = self._external_tables(plain)
        self.house.metrics.queries.inc()
        settings = {**self.context.settings, **query.settings}
        readonly = settings.pop("readonly", "0")
        context = Context(self.context.database, settings)
        word = first_word(query.text)
        enter = self.house.registry.enter
        did = partial(answers.hung_up, self.link)
        with enter(
            query.query_id,
            query.text,
            context,
            user=self.user.name,
            client_did=did,
            stoppable=word in READING,
        ) as running:
            try:
                if external:
                    raise refused(f"external table {external}")
                packets.check_query(query)
                check_readonly(readonly, query.text)
                if self.user.reads_only:
                    self._execute_guarded(query, running)
                else:
                    self._execute(query, word, running, runner, plain)
            except ServerError as error:
                self._answer_failure(error, running)
            else:
                self.out.packet(packets.END_OF_STREAM)

    def _execute(
        self, query: packets.Query, word: str, running: Running, runner: Runner, plain: GrowingCursor
    ) -> None:
        if (kill := kill_query(query.text)) is not None:
            answers.kill(kill, running, runner, self.out, query.compressed)
        elif word in ("SET", "USE"):
            self._remember(query, running, runner)
        elif (insert := read_insert(query.text)) is not None:
            self._insert(insert, query, running, runner, plain)
        else:
            running.text = without_format(query.text)
            self._rows(query, word, running, runner)

    def _execute_guarded(self, query: packets.Query, running: Running) -> None:
        """Run what the guard permits, on a lane of its own that the engine keeps from writing."""
        engine, guard = self.house.engine, self.house.guard
        lane = engine.lane()
        try:
            runner = Runner(engine, lane, self.house.registry, bounded=True)
            permitted = guard.permit(query.text, lane)
            query = replace(query, text=permitted.sql)
            given = running.context
            running.context = guard.context(given.database, given.settings, given.parameters)
            if permitted.kind == "rows":
                lane.seal(running.context)
                running.text = without_format(permitted.sql)
                self._rows(query, first_word(permitted.sql), running, runner)
            else:
                # What is remembered is what was asked for, not the limits that come with every statement.
                running.context = given
                self._remember(query, running, runner)
        finally:
            engine.release(lane)

    def _rows(self, query: packets.Query, word: str, running: Running, runner: Runner) -> None:
        totals = runner.rows(running, word, self.out, query.compressed)
        self.out.packet(packets.progress(totals))

    def _insert(
        self, insert: Insert, query: packets.Query, running: Running, runner: Runner, plain: GrowingCursor
    ) -> None:
        if insert.data != "blocks":
            self._rows(query, "INSERT", running, runner)
            return
        columns = inserts.target_columns(insert, running, runner)
        self.receiver.begin(running.number)
        inserts.ask(columns, self.out, query.compressed)
        receiver = self.receiver
        inserts.receive(self.cursor, plain, receiver)
        self.house.metrics.received_bytes.inc(receiver.size)
        try:
            inserts.land(insert, columns, receiver, running, runner)
        finally:
            receiver.end()
        self.house.metrics.inserts.inc()
        self.house.metrics.inserted_rows.inc(receiver.rows)
        self.out.packet(packets.progress(packets.Totals(0, 0, receiver.rows, receiver.size)))

    def _remember(self, query: packets.Query, running: Running, runner: Runner) -> None:
        """SET and USE change the session."""
        self.context = remember(query.text, query.settings, self.context, running, runner)

    def _external_tables(self, plain: GrowingCursor) -> str:
        """Read the tables behind a query, up to the empty block. Returns the name of one, if any was sent."""
        name = ""
        while True:
            if (packet := self.cursor.varint()) != packets.FromClient.DATA:
                raise ProtocolError(f"packet {packet} where a query's (external) tables were expected")
            table = self.cursor.text(packets.SHORT_TEXT)
            blocks.skip_info(plain)
            extent = blocks.skip_block(plain)
            inserts.forget(self.cursor, plain)
            if not extent.columns:
                return name
            name = table

    def _answer_failure(self, error: ServerError, running: Running) -> None:
        if running.cancelled:
            self.out.packet(packets.END_OF_STREAM)
            return
        self.house.metrics.exceptions.inc()
        self.out.packet(packets.exception(answers.unmarked(error, running)))

    def _last_words(self, error: ServerError) -> None:
        """Say why the connection ends, and let the client read it before the connection is reset."""
        self.house.metrics.exceptions.inc()
        try:
            self.out.packet(packets.exception(error))
            self.out.flush()
            self.link.shutdown(socket.SHUT_WR)
            self.link.settimeout(2)
            while self.link.recv(1 << 16):
                pass
        except OSError:
            pass

    def _count_sent(self) -> None:
        self.house.metrics.sent_bytes.inc(self.out.sent_bytes)
