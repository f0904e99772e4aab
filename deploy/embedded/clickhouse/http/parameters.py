"""What an HTTP request asks for, read from its parameters and headers. Pure."""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deploy.embedded.clickhouse.errors import (
    AUTHENTICATION_FAILED,
    BAD_ARGUMENTS,
    INVALID_SESSION_TIMEOUT,
    ServerError,
    refused,
)
from deploy.embedded.clickhouse.names import names_in

SESSION_SECONDS = 60
LONGEST_SESSION_SECONDS = 3600
BUFFER_BYTES = 1 << 20
# Under the user's name, a second user and password are ambiguous.
_MIXED = "it is not allowed to use several ways to authenticate at once"
RESERVED = names_in(
    """
    query database default_format user password compress decompress query_id session_id session_check
    session_timeout close_session buffer_size wait_end_of_query client_protocol_version
    """
)
# Known to a server, not done here.
UNSUPPORTED = frozenset({"role", "quota_key", "stacktrace"})
PARAMETER = "param_"


@dataclass(frozen=True, slots=True)
class SessionWanted:
    """A session by its name; `known`: it must exist already. Seconds until it is forgotten; `last`: now."""

    name: str
    known: bool
    seconds: int
    last: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request. `text` is the statement or its beginning; settings and parameters are name → value as text."""

    user: str
    password: str = field(repr=False)
    text: str
    database: str
    format: str
    query_id: str
    session: SessionWanted | None
    compress: bool
    decompress: bool
    revision: int
    buffer_bytes: int
    wait_end: bool
    settings: dict[str, str]
    parameters: dict[str, str]


def read_wanted(method: str, pairs: Iterable[tuple[str, str]], headers: Mapping[str, str]) -> Wanted:
    """Read a request's parameters and headers (any case). Raises ServerError, naming what is wrong."""
    given = dict(pairs)
    for name in UNSUPPORTED & given.keys():
        if given[name] not in ("", "0"):
            raise refused(f"the HTTP parameter {name}")
    user, password = _credentials(given, headers)
    settings = {
        name: value
        for name, value in given.items()
        if name not in RESERVED | UNSUPPORTED and not name.startswith(PARAMETER)
    }
    if method in ("GET", "HEAD") and settings.get("readonly", "0") == "0":
        # What a browser may follow as a link must not change anything.
        settings["readonly"] = "2"
    return Wanted(
        user=user,
        password=password,
        text=given.get("query", ""),
        database=given.get("database") or headers.get("X-ClickHouse-Database", ""),
        format=given.get("default_format") or headers.get("X-ClickHouse-Format", ""),
        query_id=given.get("query_id", ""),
        session=_session(given),
        compress=_flag(given, "compress"),
        decompress=_flag(given, "decompress"),
        revision=_number(given, "client_protocol_version", 0),
        buffer_bytes=_number(given, "buffer_size", BUFFER_BYTES),
        wait_end=_flag(given, "wait_end_of_query"),
        settings=settings,
        parameters={
            name.removeprefix(PARAMETER): value
            for name, value in given.items()
            if name.startswith(PARAMETER) and name != PARAMETER
        },
    )


def _credentials(given: Mapping[str, str], headers: Mapping[str, str]) -> tuple[str, str]:
    """User and password from the one place that names them; without any, the user `default` without a password."""
    ways = []
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        ways.append((headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")))
    if headers.get("Authorization"):
        ways.append(_basic(headers["Authorization"]))
    if "user" in given or "password" in given:
        ways.append((given.get("user", "default"), given.get("password", "")))
    if len(ways) > 1:
        raise _unauthenticated(_MIXED)
    return ways[0] if ways else ("default", "")


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.strip().partition(" ")
    if scheme.lower() != "basic":
        raise _unauthenticated("only the scheme Basic is supported")
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _unauthenticated("the Basic credentials are malformed") from None
    return user, password


def _unauthenticated(why: str) -> ServerError:
    return ServerError(AUTHENTICATION_FAILED, f"Invalid authentication: {why}. (AUTHENTICATION_FAILED)")


def _session(given: Mapping[str, str]) -> SessionWanted | None:
    name = given.get("session_id", "")
    if not name:
        return None
    text = given.get("session_timeout", str(SESSION_SECONDS))
    if not text.isascii() or not text.isdigit():
        raise ServerError(
            INVALID_SESSION_TIMEOUT, f"Invalid session timeout: {text!r}. (INVALID_SESSION_TIMEOUT)"
        )
    if int(text) > LONGEST_SESSION_SECONDS:
        raise ServerError(
            INVALID_SESSION_TIMEOUT,
            f"Session timeout {text!r} is larger than {LONGEST_SESSION_SECONDS}. (INVALID_SESSION_TIMEOUT)",
        )
    return SessionWanted(name, _flag(given, "session_check"), int(text), _flag(given, "close_session"))


def _flag(given: Mapping[str, str], name: str) -> bool:
    words = {"": False, "0": False, "false": False, "1": True, "true": True}
    value = given.get(name, "").lower()
    if value not in words:
        raise ServerError(BAD_ARGUMENTS, f"Parameter {name} must be 0 or 1, not {value!r}. (BAD_ARGUMENTS)")
    return words[value]


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise ServerError(BAD_ARGUMENTS, f"Parameter {name} must be a number, not {text!r}. (BAD_ARGUMENTS)")
    return int(text)
