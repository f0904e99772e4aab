"""Enough SQL reading to know a statement's first word, its end, and where an INSERT's data comes from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from deploy.embedded.clickhouse.errors import SYNTAX_ERROR, ServerError, refused

READING = frozenset(
    {"SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "VALUES"}
)
STREAMED = frozenset({"SELECT", "WITH", "FROM", "("})

_TOKEN = re.compile(
    r"""(?P<space>(?:\s+|--[^\n]*|\#[!\x20][^\n]*|/\*.*?\*/)+)
      | (?P<string>'(?:[^'\\]|\\.|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
      | (?P<quoted>`(?:[^`\\]|\\.|``)*` | "(?:[^"\\]|\\.|"")*")
      | (?P<word>[A-Za-z_]\w*)
      | (?P<number>\d[\w.]*)
      | (?P<mark>.)""",
    re.VERBOSE | re.DOTALL,
)
_NEEDS_READING = re.compile(r";|\bFORMAT\b|\bOUTFILE\b", re.IGNORECASE)
_KILL = re.compile(
    r"\s*KILL\s+QUERY\s+WHERE\s+(?P<condition>.*?)(?:\s+(?P<mode>SYNC|ASYNC|TEST))?(?:\s+FORMAT\s+\w+)?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL that is not space: its group in `_TOKEN`, text and place."""

    kind: str
    text: str
    start: int
    end: int

    def says(self, *words: str) -> bool:
        return self.kind in ("word", "mark") and self.text.upper() in words


@dataclass(frozen=True, slots=True)
class Insert:
    """An INSERT's head. `data` is "blocks" (the client sends them), "inline" or "select".

    `format` is what it says its data are in ("" for nothing), `end` the place behind that.
    """

    target: str
    columns: str
    settings: str
    data: str
    format: str = field(default="", compare=False)
    end: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Kill:
    """KILL QUERY WHERE condition, mode SYNC, ASYNC or TEST."""

    condition: str
    mode: str


def tokens(sql: str, position: int = 0) -> Iterator[Token]:
    for found in _TOKEN.finditer(sql, position):
        kind = found.lastgroup or ""
        if kind != "space":
            yield Token("string" if kind == "tag" else kind, found[0], found.start(), found.end())


def first_word(sql: str) -> str:
    """The word (or bracket) a statement begins with, in capitals; empty for nothing at all."""
    return next((token.text.upper() for token in tokens(sql)), "")


def only_reads(sql: str) -> bool:
    """Whether a statement's first word is one of reading, and it goes on like that."""
    word = first_word(sql)
    if word not in READING:
        return False
    depth = 0
    for token in tokens(sql):
        depth += token.says("(", "[") - token.says(")", "]")
        # WITH ... INSERT, and SELECT ... PARALLEL WITH another statement.
        if depth == 0 and word != "EXPLAIN" and token.says("INSERT", "PARALLEL"):
            return False
    return True


def without_format(sql: str) -> str:
    """One statement without its FORMAT clause, which the protocol ignores. Refuses several statements."""
    return split_format(sql)[0]


def split_format(sql: str) -> tuple[str, str]:
    """One statement without its FORMAT clause, and the format that it named. Refuses several statements."""
    if not _NEEDS_READING.search(sql):
        return sql, ""
    seen = list(tokens(sql))
    while seen and seen[-1].says(";"):
        sql = sql[: seen.pop().start]
    for token in seen:
        if token.says(";"):
            raise _several(sql, token)
        if token.says("OUTFILE"):
            raise refused("INTO OUTFILE")
    return _cut_format(sql, seen)


def _cut_format(sql: str, seen: list[Token]) -> tuple[str, str]:
    for place in range(len(seen) - 2, 0, -1):
        word, name = seen[place], seen[place + 1]
        at_end = place + 2 == len(seen) or seen[place + 2].says("SETTINGS")
        if word.says("FORMAT") and name.kind == "word" and at_end:
            return sql[: word.start] + sql[name.end :], name.text
    return sql, ""


def _several(sql: str, token: Token) -> ServerError:
    rest = sql[token.start : token.start + 100]
    return ServerError(
        SYNTAX_ERROR,
        f"Syntax error (Multi-statements are not allowed): failed at position {token.start + 1} "
        f"(end of query): {rest}. (SYNTAX_ERROR)",
    )


def kill_query(sql: str) -> Kill | None:
    """The parts of a KILL QUERY statement, None for anything else."""
    found = _KILL.fullmatch(sql)
    return Kill(found["condition"], (found["mode"] or "ASYNC").upper()) if found else None


def read_insert(sql: str) -> Insert | None:
    """The head of an INSERT, None for other statements. Reads no further than the head."""
    stream = tokens(sql)
    token = next(stream, None)
    if token is None or not token.says("INSERT"):
        return None
    token = next(stream, None)
    if token is None or not token.says("INTO"):
        return None
    return _InsertReader(sql, stream).read()


class _InsertReader:
    """Walks over the head: target, columns, settings, and what the data is."""

    def __init__(self, sql: str, stream: Iterator[Token]) -> None:
        self.sql = sql
        self.stream = stream
        self.token = next(stream, None)

    def read(self) -> Insert | None:
        if self._at("TABLE"):
            self._next()
        target = self._target()
        columns = self._brackets() if self._at("(") else ""
        settings = self._settings() if self._at("SETTINGS") else ""
        if self._at("FROM"):
            raise refused("INSERT ... FROM INFILE")
        if self.token is None or self._at(";"):
            return Insert(target, columns, settings, "blocks", "", len(self.sql))
        if self._at("VALUES", "FORMAT"):
            return self._with_data(target, columns, settings)
        return Insert(target, columns, settings, "select")

    def _with_data(self, target: str, columns: str, settings: str) -> Insert:
        if self._at("FORMAT"):
            self._next()
        named, end = (self.token.text, self.token.end) if self.token else ("", len(self.sql))
        self._next()
        data = "blocks" if self.token is None or self._at(";") else "inline"
        return Insert(target, columns, settings, data, named, end)

    def _target(self) -> str:
        """`table`, `database.table` or `FUNCTION name(...)`."""
        start = end = self.token.start if self.token else len(self.sql)
        function = self._at("FUNCTION")
        while self.token is not None and not self._at(
            "VALUES", "FORMAT", "SELECT", "WITH", "SETTINGS", "FROM", ";"
        ):
            if self._at("("):
                if not function:
                    break
                self._brackets()
                return self.sql[start : self._last]
            end = self.token.end
            self._next()
        return self.sql[start:end]

    def _brackets(self) -> str:
        assert self.token is not None
        start, depth = self.token.start, 0
        while self.token is not None:
            depth += self._at("(") - self._at(")")
            self._last = self.token.end
            self._next()
            if depth == 0:
                break
        return self.sql[start : self._last]

    def _settings(self) -> str:
        self._next()
        start = end = self.token.start if self.token else len(self.sql)
        while self.token is not None and not self._at("VALUES", "FORMAT", "SELECT", "WITH", "FROM", ";"):
            end = self.token.end
            self._next()
        return self.sql[start:end]

    def _at(self, *words: str) -> bool:
        return self.token is not None and self.token.says(*words)

    def _next(self) -> None:
        self.token = next(self.stream, None)
