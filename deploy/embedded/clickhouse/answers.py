"""Answers to statements that are not inserts of a client's blocks: rows, SET and USE, KILL QUERY."""

import socket
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass

from deploy.embedded.clickhouse import blocks, packets
from deploy.embedded.clickhouse.engine import Chunk, Context, Engine, Lane, json_rows, literal
from deploy.embedded.clickhouse.errors import TOO_MANY_ROWS_OR_BYTES, ServerError
from deploy.embedded.clickhouse.output import Output
from deploy.embedded.clickhouse.registry import Registry, Running
from deploy.embedded.clickhouse.statements import READING, STREAMED, Kill
from deploy.embedded.clickhouse.wire import text, varint

# The engine's process list keeps this much of a statement, so a marker further back would be lost.
LISTED_BYTES = 50_000
KILL_COLUMNS = ("kill_status", "query_id", "user", "query")


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs one client's statements in the engine; `bounded`: a result in pieces is held to its limits as a whole."""

    engine: Engine
    lane: Lane
    registry: Registry
    bounded: bool = False

    def rows(self, running: Running, word: str, out: Output, compressed: bool) -> packets.Totals:
        """Run a statement and send its result, block by block. Returns what it has read."""
        totals, sent_blocks = packets.Totals(), 0
        with closing(self.bounded_chunks(running, word)) as chunks:
            for chunk in chunks:
                for block, extent in blocks.cut(chunk.view):
                    if sent_blocks == 0:
                        # Clients take names and types from a first block without rows, as a server sends it.
                        out.block(blocks.header(extent.columns), compressed)
                    out.block(block, compressed)
                    sent_blocks += 1
                totals += packets.Totals(chunk.rows_read, chunk.bytes_read)
                running.check()
        if sent_blocks == 0 and (columns := self.columns(running, word)):
            out.block(blocks.header(columns), compressed)
        out.packet(packets.profile_info(totals.rows, sent_blocks, totals.size))
        return totals

    def chunks(
        self, running: Running, word: str, output: str = "Native", streamed: bool = True
    ) -> Generator[Chunk]:
        """The result in pieces, or as one; `in_engine` is set only while the engine makes the next one."""
        sql = marked(running, word)
        if word not in STREAMED or not streamed:
            with self.registry.in_engine(running):
                chunk = self.lane.query(sql, running.context, output)
            yield chunk
            return
        with closing(self.lane.stream(sql, running.context, output)) as stream:
            while True:
                with self.registry.in_engine(running):
                    chunk_or_none = next(stream, None)
                if chunk_or_none is None:
                    return
                yield chunk_or_none

    def bounded_chunks(
        self, running: Running, word: str, output: str = "Native", streamed: bool = True
    ) -> Generator[Chunk]:
        """The chunks, up to the limits on a result's rows and bytes: the engine holds each piece to the second alone."""
        rows = size = 0
        with closing(self.chunks(running, word, output, streamed)) as chunks:
            for chunk in chunks:
                rows, size = rows + chunk.rows_read, size + max(chunk.bytes_read, len(chunk.view))
                if self.bounded:
                    _check_size(running.context.settings, rows, size)
                yield chunk

    def columns(self, running: Running, word: str) -> list[tuple[str, str]]:
        """Names and types of an empty result, whose native form does not hold them."""
        if word in STREAMED:
            try:
                described = self.lane.rows(f"DESCRIBE (\n{running.text}\n)", running.context)
            except ServerError:
                return []
            return [(str(row[0]), str(row[1])) for row in described]
        if word not in READING:
            return []
        shown = json_rows(
            self.lane.query(running.text, running.context, "JSONCompactEachRowWithNamesAndTypes")
        )
        return (
            [(str(name), str(kind)) for name, kind in zip(shown[0], shown[1], strict=True)] if shown else []
        )


def _check_size(settings: Mapping[str, str], rows: int, size: int) -> None:
    for name, value in (("max_result_rows", rows), ("max_result_bytes", size)):
        most = int(settings.get(name, "0"))
        if 0 < most < value:
            raise ServerError(
                TOO_MANY_ROWS_OR_BYTES,
                f"Limit for result exceeded, {name}: {most}, current: {value}. (TOO_MANY_ROWS_OR_BYTES)",
            )


def marked(running: Running, word: str) -> str:
    """The statement with its marker; behind it, where that works, so that positions in messages stay."""
    if word == "INSERT" or len(running.text) > LISTED_BYTES:
        return f"{running.marker} {running.text}"
    return f"{running.text}\n{running.marker}"


def unmarked(error: ServerError, running: Running) -> ServerError:
    """The error as it would be without the marker."""
    text = error.text.replace(f"\n{running.marker}", "").replace(f"{running.marker} ", "")
    return ServerError(error.code, text)


def kill(kill: Kill, running: Running, runner: Runner, out: Output, compressed: bool) -> None:
    """Stop what the condition describes and send what became of it."""
    out.block(_kill_result(killed(kill, running, runner)), compressed)


def killed(kill: Kill, running: Running, runner: Runner) -> list[tuple[str, str, str, str]]:
    """Stop the statements that the condition describes; with SYNC, return when they have stopped.

    Returns status, query id, user and text of each.
    """
    others = [other for other in runner.registry.snapshot() if other is not running]
    numbers = _matching(kill.condition, others, runner, running.context)
    found = [other for other in others if other.number in numbers]
    if kill.mode != "TEST":
        # One that has ended since (an engine that runs one at a time made us wait for it) counts as stopped.
        stop(found, runner.engine, runner.registry)
    if kill.mode == "SYNC":
        runner.registry.wait_out(found)
    status = {"SYNC": "finished", "ASYNC": "waiting", "TEST": "unknown_status"}[kill.mode]
    return [(status, other.query_id, other.user, other.text) for other in found]


def stop(statements: list[Running], engine: Engine, registry: Registry) -> None:
    """Mark statements as killed, and tell the engine of those it works on, if it can be told."""
    interrupt(registry.kill({running.number for running in statements}), engine)


def interrupt(statements: list[Running], engine: Engine) -> None:
    """Tell the engine to stop these statements. It may not know one yet that has just been given to it."""
    busy = [running for running in statements if running.in_engine]
    if engine.isolated and busy:
        condition = " OR ".join(_marks(literal(running.marker)) for running in busy)
        engine.control.query(f"KILL QUERY WHERE {condition} ASYNC", Context())


def _marks(marker: str) -> str:
    """The condition that a listed query is the marked one, and not another that speaks of it."""
    return f"(startsWith(query, {marker}) OR endsWith(query, {marker}))"


def hung_up(link: socket.socket) -> str:
    """What a client did while it waits for an answer: "" (nothing), "cancel" or "gone"."""
    try:
        peeked = link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return ""
    except OSError:
        return "gone"
    if not peeked:
        return "gone"
    return "cancel" if peeked[0] == packets.FromClient.CANCEL else ""


def _matching(condition: str, others: list[Running], runner: Runner, context: Context) -> set[int]:
    """Numbers of the statements for which the condition holds, over the columns of system.processes.

    A statement's own SETTINGS clause is known to the engine only, one receiving its data to us only: both are
    asked.
    """
    if not others:
        # Nothing can match, but a condition with a mistake is still an error.
        runner.lane.query(f"SELECT 1 FROM system.processes WHERE ({condition}\n) LIMIT 0", context)
        return set()
    known = ", ".join(_as_tuple(other) for other in others)
    about_us = (
        "SELECT * REPLACE (r.2 AS query_id, r.2 AS initial_query_id, r.3 AS user, r.4 AS query, "
        "r.5 AS Settings, r.6 AS elapsed, r.7 AS current_database), r.1 AS front "
        f"FROM (SELECT * FROM system.processes LIMIT 1) ARRAY JOIN [{known}] AS r"
    )
    about_engine = (
        "SELECT * REPLACE (r.2 AS query_id, r.2 AS initial_query_id, r.3 AS user, r.4 AS query), "
        "r.1 AS front FROM (SELECT * FROM system.processes WHERE query_id != queryID()) "
        f"ARRAY JOIN [{known}] AS r WHERE {_marks('r.8')}"
    )
    numbers: set[int] = set()
    for source in (about_us, about_engine):
        rows = runner.lane.rows(f"SELECT front FROM ({source}) WHERE ({condition}\n)", context)
        numbers.update(int(row[0]) for row in rows)
    return numbers


def _as_tuple(running: Running) -> str:
    settings = running.context.settings
    pairs = ", ".join(f"{literal(name)}, {literal(value)}" for name, value in settings.items())
    elapsed = time.monotonic() - running.started
    mapped = f"CAST(map({pairs}), 'Map(String, String)')"
    texts = [literal(value) for value in (running.query_id, running.user, running.text)]
    database, marker = literal(running.context.database), literal(running.marker)
    numbered = f"toUInt64({running.number}), {', '.join(texts)}"
    return f"({numbered}, {mapped}, toFloat64({elapsed:.3f}), {database}, {marker})"


def _kill_result(rows: list[tuple[str, str, str, str]]) -> bytes:
    names = KILL_COLUMNS
    columns = b"".join(
        text(name) + text("String") + b"".join(text(row[place]) for row in rows)
        for place, name in enumerate(names)
    )
    return varint(len(names)) + varint(len(rows)) + columns
