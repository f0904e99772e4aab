"""How far the oldest segment is drained, for the next process.

Not synced: an old position sends records again, under ids that are known downstream. One that is ahead would
lose them, so it is written after the broker's acknowledgement, and a segment's name comes never again.
"""

from pathlib import Path

FILE = "position"


def write_position(directory: Path, segment: str, offset: int) -> None:
    """Note that the first ``offset`` bytes of ``segment`` are drained. Raises OSError."""
    draft = directory / f"{FILE}.new"
    draft.touch(mode=0o600)
    draft.write_text(f"{segment} {offset}\n")
    draft.replace(directory / FILE)


def read_position(directory: Path) -> tuple[str, int]:
    """Return the segment's name and the offset; an empty name where nothing is noted that can be read."""
    try:
        name, _, offset = (directory / FILE).read_text().rstrip("\n").partition(" ")
        return name, int(offset)
    except (OSError, ValueError):
        return "", 0
