"""What can go wrong with ClickHouse.

ClickHouseError
├── Unavailable     no connection, or the outcome is unknown: try again once the fence has been read
└── Refused         the server said no; trying the same again is of no use
    ├── NotOwner    the rows' owner token is not the newest of their source
    └── Unpackable  a value is none of its column's type: nothing was sent
ModelChanged        a version of an attribution model is registered with other settings
MigrationError      the migrations applied are not the migrations at hand
"""

VIOLATED_CONSTRAINT = 469
NO_SPACE = "No space left on device"
TRANSIENT = frozenset(
    {
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR: a full disk, where room had been reserved
        159,  # TIMEOUT_EXCEEDED
        164,  # READONLY, while a replica starts
        173,  # CANNOT_ALLOCATE_MEMORY
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        473,  # DEADLOCK_AVOIDED
        999,  # KEEPER_EXCEPTION
    }
)


class ClickHouseError(Exception):
    """ClickHouse did not do what it was asked. ``code`` is the server's, 0 if the error is not the server's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"code {code}: {text}" if code else text)
        self.code = code
        self.text = text


class Unavailable(ClickHouseError):
    """No connection, or the outcome is unknown."""


class Refused(ClickHouseError):
    """The server refused."""


class NotOwner(Refused):
    """Another worker has taken over a source of these rows. Nothing of them landed."""


class Unpackable(Refused):
    """A value does not fit its column. ``cause`` is only named: its text may hold the value."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(0, f"a value does not fit its column: {type(cause).__name__}")


class MigrationError(Exception):
    """A migration that was applied has been edited or removed."""


class ModelChanged(Exception):
    """A version of an attribution model does not say what it said when it was registered."""

    def __init__(self, model: str, version: int) -> None:
        super().__init__(
            f"attribution model {model}: version {version} is registered with other settings (table attribution_models): "
            "give the changed model a new version in FUNNEL_ATTRIBUTION_FILE"
        )
        self.model, self.version = model, version


def server_error(code: int, text: str) -> ClickHouseError:
    """Return the error that a server's exception means."""
    text = text.partition("Stack trace:")[0].strip()
    if code == VIOLATED_CONSTRAINT and "Constraint `owner`" in text:
        return NotOwner(code, text)
    # One code for too many parts, which will be merged, and for a block of more than one partition, which will always be one.
    transient = code in TRANSIENT and not text.startswith("DB::Exception: Too many partitions")
    # Said under many codes, according to who was writing.
    transient = transient or NO_SPACE in text
    return Unavailable(code, text) if transient else Refused(code, text)
