"""Reading from ClickHouse, without knowing how."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Row = Sequence[Any]
Reader = Callable[[str], Sequence[Row]]
"""Runs a query and returns its rows. Queries ask for integers and strings only."""


class Tables(NamedTuple):
    """How to read, and the names of what is read."""

    read: Reader
    prefixes: tuple[str, ...]
    journal: str = "journal"

    @property
    def is_ours(self) -> str:
        """The condition on rows that they come from these topics."""
        return f"({' OR '.join(f'startsWith(_source, {quoted(prefix)})' for prefix in self.prefixes)})"


def quoted(text: str) -> str:
    """Return ``text`` as a string literal of ClickHouse."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def milliseconds(column: str) -> str:
    """Return the expression for a DateTime64(3) column in ms UTC."""
    return f"toUnixTimestamp64Milli({column})"
