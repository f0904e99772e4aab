"""The outcome of a verification, as data and as a table."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

SHOWN = 5


class Check(NamedTuple):
    """One comparison. ``differences`` names the first few keys that differ; there are none exactly if it is ok. ``different``: how many differ."""

    name: str
    expected: str
    actual: str
    differences: Sequence[str]
    different: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Report:
    """All checks of one verification."""

    checks: Sequence[Check]

    @property
    def ok(self) -> bool:
        """Whether every check is ok."""
        return all(check.ok for check in self.checks)

    @property
    def problems(self) -> list[str]:
        """What differs, a line each."""
        return [f"{check.name}: {difference}" for check in self.checks for difference in check.differences]


class Differences:
    """Collects what differs: counts all of it, keeps the first few."""

    def __init__(self) -> None:
        self.count = 0
        self._shown: list[str] = []

    def add(self, difference: str) -> None:
        """Note one difference."""
        self.count += 1
        if self.count <= SHOWN:
            self._shown.append(difference)

    def check(self, name: str, expected: object, actual: object) -> Check:
        """Return the check that fails if there is any difference."""
        more = [f"… and {self.count - SHOWN} more"] if self.count > SHOWN else []
        return Check(name, _text(expected), _text(actual), (*self._shown, *more), self.count)


def equal(name: str, expected: int, actual: int, differences: Iterable[str] = ()) -> Check:
    """Return the check that two numbers are equal; ``differences`` explains, and makes it fail even if they are."""
    found = Differences()
    for difference in differences:
        found.add(difference)
    if expected != actual and not found.count:
        found.add(f"expected {expected:,}, found {actual:,}")
    return found.check(name, expected, actual)


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def render(report: Report) -> Table:
    """Return the report as a table, the differences of a failed check below it."""
    table = Table(title="Oracle and ClickHouse", title_justify="left")
    table.add_column("check")
    table.add_column("expected", justify="right")
    table.add_column("actual", justify="right")
    table.add_column("")
    for check in report.checks:
        mark = Text("ok", style="green") if check.ok else Text("DIFFERS", style="bold red")
        table.add_row(Text(check.name), check.expected, check.actual, mark)
        for difference in check.differences:
            table.add_row(Text(f"  {difference}", style="red"), "", "", "")
    return table
