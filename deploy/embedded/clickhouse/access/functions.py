"""The functions that the reader may call, by the engine's own catalogue and the lists."""

from dataclasses import dataclass
from typing import Self

from deploy.embedded.clickhouse.access import lists
from deploy.embedded.clickhouse.engine import Context, Lane

CATALOGUE = "SELECT name, is_aggregate, case_insensitive, alias_to, categories, toString(origin) FROM system.functions"


@dataclass(frozen=True, slots=True)
class Functions:
    """Names that may be called: as they are written, in small letters where case does not matter; and aggregates."""

    exact: frozenset[str]
    insensitive: frozenset[str]
    aggregates: frozenset[str]
    combinators: tuple[str, ...]

    @classmethod
    def read(cls, lane: Lane) -> Self:
        """Read the engine's catalogue."""
        rows = [row for row in lane.rows(CATALOGUE, Context()) if row[5] == "System"]
        of_table = {str(row[0]) for row in lane.rows("SELECT name FROM system.table_functions", Context())}
        originals = {str(row[0]) for row in rows if _allowed(str(row[0]), str(row[4]))}
        # `format` as a function of values only makes text; of others with two faces, both stay closed.
        originals -= of_table - {"format"}
        usable = [
            row for row in rows if (row[3] or row[0]) in originals and row[0] not in of_table - {"format"}
        ]
        names = lane.rows("SELECT name FROM system.aggregate_function_combinators", Context())
        return cls(
            frozenset(str(row[0]) for row in usable) | lists.SYNTAX_FUNCTIONS,
            frozenset(str(row[0]).lower() for row in usable if row[2]),
            frozenset(str(row[0]) for row in usable if row[1]),
            tuple(str(row[0]) for row in names),
        )

    def allows(self, name: str) -> bool:
        """Whether a function may be called, as such or as an aggregate with combinators."""
        if name in self.exact or name.lower() in self.insensitive:
            return True
        rests = [name.removesuffix(suffix) for suffix in self.combinators if name.endswith(suffix)]
        return any(rest != name and self._aggregates(rest) for rest in rests)

    def _aggregates(self, name: str) -> bool:
        if name in self.aggregates or name.lower() in self.insensitive:
            return True
        rests = [name.removesuffix(suffix) for suffix in self.combinators if name.endswith(suffix)]
        return any(rest != name and self._aggregates(rest) for rest in rests)


def _allowed(name: str, categories: str) -> bool:
    """Whether the lists allow a function of these categories (by commas)."""
    if name in lists.OTHER_FUNCTIONS:
        return True
    named = {category.strip() for category in categories.split(",")} - {""}
    return bool(named) and named <= lists.CATEGORIES
