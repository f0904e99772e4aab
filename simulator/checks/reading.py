"""Reading from ClickHouse, without knowing how."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Row = Sequence[Any]
Reader = Callable[[str], Sequence[Row]]
"""Runs a query and returns its rows. Queries ask for integers and strings only."""


class Tables(NamedTuple):
    """How to read, and the names of what is read."""

    read: Reader
    cluster_id: str
    journal: str = "journal"

    @property
    def is_ours(self) -> str:
        """The condition on rows that they come from this cluster."""
        return f"startsWith(_source, {quoted(self.cluster_id + '/')})"


def quoted(text: str) -> str:
    """Return ``text`` as a string literal of ClickHouse."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def milliseconds(column: str) -> str:
    """Return the expression for a DateTime64(3) column in ms UTC."""
    return f"toUnixTimestamp64Milli({column})"
