"""Errors of the ClickHouse front.

ServerError      answered to the client as a ClickHouse exception; the connection goes on
ProtocolError    the peer sent what the protocol does not allow; the connection ends
OutOfStep        a ServerError in the middle of a client's data: it is answered, then the connection ends
Truncated        the bytes ended before the value did (for a socket: the peer is gone)
"""

import re

BAD_ARGUMENTS = 36
UNKNOWN_SETTING = 115
NOT_IMPLEMENTED = 48
SYNTAX_ERROR = 62
READONLY = 164
AUTHENTICATION_FAILED = 516
ACCESS_DENIED = 497
SETTING_CONSTRAINT_VIOLATION = 452
SESSION_NOT_FOUND = 372
SESSION_IS_LOCKED = 373
INVALID_SESSION_TIMEOUT = 374
TOO_MANY_ROWS_OR_BYTES = 396
QUERY_IS_TOO_LARGE = 229
CANNOT_READ_ALL_DATA = 33
QUERY_WAS_CANCELLED = 394
NO_SUCH_COLUMN = 16
LOGICAL_ERROR = 49
NOT_ENOUGH_SPACE = 243
UNEXPECTED_PACKET = 101
CANNOT_DECOMPRESS = 271
CHECKSUM_DOESNT_MATCH = 40

UNKNOWN_ROLE = 511

# The engine says that a privilege is missing, or that a name is; what is missing is the feature.
_ACCESS_MANAGEMENT = re.compile(
    r"the grant (?:(?:CREATE|ALTER|DROP|SHOW) (?:USERS?|ROLES?|ROW POLIC(?:Y|IES)|QUOTAS?|SETTINGS PROFILES?)|ROLE ADMIN)\b"
)
_PREFIX = re.compile(r"Code: (\d+)\. DB::Exception: ")
_SUFFIX = re.compile(r"\s*\(version [^()]*(?:\([^()]*\))?\)\.?(?: \([A-Z0-9_]+\))?")


class ServerError(Exception):
    """A ClickHouse exception: numeric code, and the text without `Code:` and without `DB::Exception:`."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(f"Code: {code}. DB::Exception: {text}")


class OutOfStep(Exception):
    """What a client is sending cannot be read on. `error` is why."""

    def __init__(self, error: ServerError) -> None:
        self.error = error
        super().__init__(str(error))


class ProtocolError(Exception):
    """The peer does not follow the protocol."""


class Truncated(Exception):
    """The bytes ended in the middle of a value."""


def refused(what: str) -> ServerError:
    """The error for something this front does not support, by its name."""
    return ServerError(
        NOT_IMPLEMENTED, f"{what} is not supported by the embedded ClickHouse front (NOT_IMPLEMENTED)"
    )


def denied(user: str, what: str) -> ServerError:
    """The error for something that this user may not do."""
    return ServerError(ACCESS_DENIED, f"{user}: Not enough privileges for {what}. (ACCESS_DENIED)")


def cancelled() -> ServerError:
    return ServerError(QUERY_WAS_CANCELLED, "Query was cancelled. (QUERY_WAS_CANCELLED)")


def from_engine(message: str) -> ServerError:
    """Read code and text out of the engine's message, where both may be wrapped several times."""
    found = _PREFIX.search(message)
    if found is None:
        return ServerError(LOGICAL_ERROR, message)
    code, text = int(found[1]), message[found.end() :]
    while (again := _PREFIX.match(text)) is not None:
        code, text = int(again[1]), text[again.end() :]
    if code == UNKNOWN_ROLE or (code == ACCESS_DENIED and _ACCESS_MANAGEMENT.search(text)):
        return refused("A user, role, quota or row policy of one's own (which a real server has)")
    return ServerError(code, _SUFFIX.sub("", text))
