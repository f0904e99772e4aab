"""Confluent's framing of Avro values: magic byte 0, 4 bytes of schema id (big endian), then the Avro body."""

MAGIC = b"\x00"
HEADER_LENGTH = 5


def frame(schema_id: int, body: bytes) -> bytes:
    """Return ``body`` framed under ``schema_id``."""
    return MAGIC + schema_id.to_bytes(4, "big") + body


def reframed(schema_id: int, value: bytes) -> bytes:
    """Return a framed ``value`` framed under ``schema_id`` instead."""
    return frame(schema_id, value[HEADER_LENGTH:])


def schema_id_of(value: bytes | None) -> int | None:
    """Return the schema id of a framed value, or None if ``value`` is no framed value."""
    if value is None or len(value) < HEADER_LENGTH or value[:1] != MAGIC:
        return None
    return int.from_bytes(value[1:HEADER_LENGTH], "big")
