"""Secrets of an embedded installation: made once per data directory, in a file that only its owner can read."""

import json
import os
import secrets
from pathlib import Path

FILE = "secrets.json"
NAMES = ("clickhouse_password", "token", "email_key", "link_key")


def embedded_secrets(directory: Path) -> dict[str, str]:
    """Return the secrets of ``directory`` by name, making those that are missing. Raises OSError."""
    path = directory / FILE
    known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in NAMES if name not in known]
    if missing:
        known.update({name: secrets.token_urlsafe(24) for name in missing})
        draft = path.with_suffix(".new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(known, file)
        draft.replace(path)
    return known
