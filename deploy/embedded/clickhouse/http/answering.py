"""One HTTP request from its parameters to its answer. Runs in a thread of its own."""

import io
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from deploy.embedded.clickhouse.access.users import User
from deploy.embedded.clickhouse.answers import KILL_COLUMNS, Runner, killed, unmarked
from deploy.embedded.clickhouse.blocks import header
from deploy.embedded.clickhouse.engine import Chunk, Context, literal
from deploy.embedded.clickhouse.errors import (
    CANNOT_READ_ALL_DATA,
    SYNTAX_ERROR,
    UNEXPECTED_PACKET,
    ProtocolError,
    ServerError,
    Truncated,
)
from deploy.embedded.clickhouse.http import codings, formats, native, storing
from deploy.embedded.clickhouse.http.body import Statement, read_statement
from deploy.embedded.clickhouse.http.parameters import Wanted
from deploy.embedded.clickhouse.http.reply import Exchange, Reply
from deploy.embedded.clickhouse.http.sessions import Session, Sessions
from deploy.embedded.clickhouse.packets import Totals
from deploy.embedded.clickhouse.registry import Running
from deploy.embedded.clickhouse.remembering import check_readonly, remember
from deploy.embedded.clickhouse.session import House
from deploy.embedded.clickhouse.statements import (
    READING,
    first_word,
    kill_query,
    split_format,
    tokens,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: what it wants, its headers (any case), who sends it, and what the client did meanwhile."""

    wanted: Wanted
    headers: Mapping[str, str]
    user: User
    exchange: Exchange
    client_did: Callable[[], str]


class Answering:
    """Answers requests with the engine of a house."""

    def __init__(self, house: House, sessions: Sessions) -> None:
        self.house = house
        self.sessions = sessions
        self.version = ".".join(map(str, house.engine.version))

    def answer(self, asked: Asked) -> None:
        """Run a request and send its answer; what goes wrong is in the answer. Raises Gone."""
        wanted = asked.wanted
        coding = (
            ""
            if wanted.compress or not _wants_coding(wanted)
            else codings.negotiated(asked.headers.get("Accept-Encoding", ""))
        )
        most = 1 << 62 if wanted.wait_end else wanted.buffer_bytes
        reply = Reply(asked.exchange, {}, coding, wanted.compress, most, self.house.spill)
        self.house.metrics.queries.inc()
        try:
            self._answer(asked, reply)
            reply.finish()
        except (ServerError, ProtocolError, Truncated) as error:
            self.house.metrics.exceptions.inc()
            reply.fail(_as_server_error(error), self.version)

    def _answer(self, asked: Asked, reply: Reply) -> None:
        wanted = asked.wanted
        raw = _Body(asked.exchange)
        body = codings.opened(raw, asked.headers.get("Content-Encoding", ""), wanted.decompress)
        statement = read_statement(wanted.text, body)
        with self.sessions.open(asked.user, wanted.session) as session:
            before = session.context
            settings = {**before.settings, **wanted.settings}
            readonly = settings.pop("readonly", "0")
            context = Context(wanted.database or before.database, settings, dict(wanted.parameters))
            with self.house.registry.enter(
                wanted.query_id,
                statement.text,
                context,
                user=asked.user.name,
                client_did=asked.client_did,
                stoppable=first_word(statement.text) in READING,
            ) as running:
                self._set_headers(reply, running)
                work = _Work(self, asked, session, statement, running, reply, readonly)
                try:
                    work.run()
                except ServerError as error:
                    raise unmarked(error, running) from error

    def _set_headers(self, reply: Reply, running: Running) -> None:
        engine, settings = self.house.engine, running.context.settings
        reply.progress = settings.get("send_progress_in_http_headers", "0") == "1"
        reply.headers.update(
            {
                "X-ClickHouse-Server-Display-Name": engine.name,
                "X-ClickHouse-Query-Id": running.query_id,
                "X-ClickHouse-Timezone": settings.get("session_timezone") or engine.timezone,
            }
        )


@dataclass(slots=True)
class _Work:
    """One statement of one request."""

    answering: Answering
    asked: Asked
    session: Session
    statement: Statement
    running: Running
    reply: Reply
    readonly: str

    def run(self) -> None:
        text = self.statement.text
        house = self.answering.house
        if not text.strip():
            raise ServerError(SYNTAX_ERROR, "Syntax error: Empty query. (SYNTAX_ERROR)")
        check_readonly(self.readonly, text)
        if self.asked.user.reads_only:
            self._run_guarded()
            return
        runner = Runner(house.engine, self.session.lane, house.registry)
        if self.readonly not in ("", "0") and not self.session.kept:
            # The text has been looked at; the engine looks again.
            runner.lane.seal(self.running.context, level=2)
        if (kill := kill_query(text)) is not None:
            named = split_format(text)[1] or self.asked.wanted.format or formats.DEFAULT
            rows = _kill_rows(killed(kill, self.running, runner))
            self._rows_of(f"{rows} FORMAT {named}", runner)
        elif first_word(text) in ("SET", "USE"):
            self._remember(text, runner)
        elif self.statement.insert is not None and self.statement.data is not None:
            self._store(runner)
        else:
            self._rows_of(text, runner)

    def _run_guarded(self) -> None:
        """What the guard permits, on a lane of its own that the engine keeps from writing."""
        house = self.answering.house
        guard, given = house.guard, self.running.context
        lane = house.engine.lane()
        try:
            runner = Runner(house.engine, lane, house.registry, bounded=True)
            permitted = guard.permit(self.statement.text, lane)
            context = guard.context(given.database, given.settings, given.parameters)
            guard.check_format(self.asked.wanted.format)
            if permitted.kind == "rows":
                self.running.context = context
                lane.seal(context)
                self._rows_of(permitted.sql, runner)
            else:
                self._remember(permitted.sql, runner)
        finally:
            house.engine.release(lane)

    def _remember(self, text: str, runner: Runner) -> None:
        before = self.session.context
        after = remember(text, self.asked.wanted.settings, before, self.running, runner)
        # A request's own database is not the session's.
        database = after.database if first_word(text) == "USE" else before.database
        self.session.context = replace(after, database=database, parameters={})

    def _store(self, runner: Runner) -> None:
        wanted, insert, data = self.asked.wanted, self.statement.insert, self.statement.data
        assert insert is not None
        assert data is not None
        named = insert.format or wanted.format or "Values"
        if named == "Native" and wanted.revision:
            data = storing.Pieces(native.undressed(data, wanted.revision))
        house = self.answering.house
        stored = storing.store(storing.Data(insert, named, data), self.running, runner, house.spill)
        house.metrics.inserts.inc()
        house.metrics.received_bytes.inc(stored.size)
        house.metrics.inserted_rows.inc(stored.rows)
        self.reply.summary.totals = Totals(stored.rows, stored.size, stored.rows, stored.size)
        self.reply.headers["Content-Type"] = "text/plain; charset=UTF-8"

    def _rows_of(self, text: str, runner: Runner) -> None:
        """Run a statement and write its result in the format it names, or the request, or the usual one."""
        text, named = split_format(text)
        output = named or self.asked.wanted.format or formats.DEFAULT
        self.running.text = text
        word = first_word(text)
        if word in READING:
            self.reply.headers["X-ClickHouse-Format"] = output
        self.reply.headers["Content-Type"] = formats.content_type(output)
        pieces = formats.in_pieces(output) and not _has_totals(text, self.running.context)
        size = 0
        with closing(runner.bounded_chunks(self.running, word, output, pieces)) as chunks:
            for chunk in chunks:
                self._write(chunk, output, first=size == 0)
                size += len(chunk.view)
                self.running.check()
        if size == 0:
            self._write_empty(output, word, runner)

    def _write(self, chunk: Chunk, output: str, first: bool) -> None:
        summary = self.reply.summary
        summary.totals += Totals(
            chunk.storage_rows, chunk.storage_bytes, chunk.rows_written, chunk.bytes_written
        )
        summary.result_rows += chunk.rows_read
        summary.result_bytes += len(chunk.view)
        if output == "Native":
            for part in native.dressed(chunk.view, self.asked.wanted.revision):
                self.reply.write(part)
            return
        skipped = 0
        if not first and formats.has_head(output):
            skipped = formats.head_size(output, chunk.view)
        self.reply.write(chunk.view[skipped:])

    def _write_empty(self, output: str, word: str, runner: Runner) -> None:
        """What a format says of a result without rows, where the engine's pieces have not said it."""
        if output == "Native" and (columns := runner.columns(self.running, word)):
            for part in native.dressed(memoryview(header(columns)), self.asked.wanted.revision):
                self.reply.write(part)
        elif formats.has_head(output) and word in READING:
            chunk = runner.lane.query(
                f"SELECT * FROM (\n{self.running.text}\n) LIMIT 0", self.running.context, output
            )
            self.reply.write(chunk.view)


class _Body(io.RawIOBase):
    """A request's body as a file. Raises Gone where the client stops in the middle."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._exchange.read(size)


def _wants_coding(wanted: Wanted) -> bool:
    return wanted.settings.get("enable_http_compression", "0") in ("1", "true")


def _has_totals(text: str, context: Context) -> bool:
    """Whether there is something behind the rows, which pieces would repeat."""
    if context.settings.get("extremes", "0") not in ("0", ""):
        return True
    return any(token.says("TOTALS", "EXTREMES") for token in tokens(text))


def _kill_rows(rows: list[tuple[str, str, str, str]]) -> str:
    """A SELECT of these rows."""
    structure = ", ".join(f"{name} String" for name in KILL_COLUMNS)
    values = ", ".join("(" + ", ".join(literal(value) for value in row) + ")" for row in rows)
    if not rows:
        values = "(" + ", ".join("''" for _ in KILL_COLUMNS) + ")"
    limit = "" if rows else " WHERE 0"
    return f"SELECT * FROM values('{structure}', {values}){limit}"


def _as_server_error(error: ServerError | ProtocolError | Truncated) -> ServerError:
    if isinstance(error, ServerError):
        return error
    if isinstance(error, Truncated):
        return ServerError(
            CANNOT_READ_ALL_DATA, "Cannot read all data: the body ends too early. (CANNOT_READ_ALL_DATA)"
        )
    return ServerError(UNEXPECTED_PACKET, f"Malformed data: {error}. (UNEXPECTED_PACKET_FROM_CLIENT)")
