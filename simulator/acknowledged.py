"""The ids that were acknowledged, kept in a file between sending and verifying: one ``kind id`` per line."""

from collections.abc import Iterable, Mapping
from pathlib import Path


def read_acknowledged(path: Path) -> dict[str, str]:
    """Return id → kind; a file may have been appended to by several runs. Raises OSError, ValueError for a line of another form."""
    pairs = (line.split(" ") for line in path.read_text(encoding="ascii").splitlines())
    return {event_id: kind for kind, event_id in pairs}


def append_acknowledged(path: Path, acknowledged: Mapping[str, str] | Iterable[tuple[str, str]]) -> None:
    """Append id → kind to a file, which need not be there yet. Raises OSError."""
    pairs = acknowledged.items() if isinstance(acknowledged, Mapping) else acknowledged
    with path.open("a", encoding="ascii") as file:
        file.writelines(f"{kind} {event_id}\n" for event_id, kind in pairs)
