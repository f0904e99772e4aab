"""The smallest pieces of the native protocol, and the few packets a probe needs. Standard library only."""

REVISION = 54429
# The one-byte packet types that open a server's answers.
HELLO, PONG_TYPE = b"\x00", b"\x04"


def varint(value: int) -> bytes:
    """A number in groups of 7 bits, the lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def text(value: str) -> bytes:
    """A text with its length in front. Bytes that were no UTF-8 when they came in go out as they were."""
    raw = value.encode(errors="surrogateescape")
    return varint(len(raw)) + raw


def client_hello(user: str, password: str, database: str = "default") -> bytes:
    """The greeting of a client."""
    numbers = b"".join(map(varint, (1, 0, REVISION)))
    return varint(0) + text("funnel-probe") + numbers + b"".join(map(text, (database, user, password)))


PING = varint(4)
