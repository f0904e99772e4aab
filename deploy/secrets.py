"""Secrets of an embedded installation: made once per data directory, in a file that only its owner can read."""

import json
import secrets
from pathlib import Path

from deploy.private import write_private

FILE = "secrets.json"
NAMES = (
    *("clickhouse_password", "clickhouse_reader_password"),
    *("token", "email_key", "link_key", "postback_secret"),
)


def embedded_secrets(directory: Path) -> dict[str, str]:
    """Return the secrets of ``directory`` by name, making those that are missing. Raises OSError."""
    path = directory / FILE
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in NAMES if name not in known]
    if missing:
        known.update({name: secrets.token_urlsafe(24) for name in missing})
        write_private(path, json.dumps(known))
    return known
