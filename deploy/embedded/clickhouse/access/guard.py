"""What the reader may run, decided on the engine's own syntax tree, never on the text that came in.

A statement is parsed by the engine; every node of its tree must be one of the allowed kinds, every function and
table one of the allowed. What then runs is the engine's own spelling of that tree, in a connection that the engine
keeps from writing: so neither comments nor quotes nor an odd spelling can hide anything.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.embedded.clickhouse.access import lists
from deploy.embedded.clickhouse.access.functions import Functions
from deploy.embedded.clickhouse.access.tree import Reader
from deploy.embedded.clickhouse.engine import Context, Lane, literal
from deploy.embedded.clickhouse.errors import (
    BAD_ARGUMENTS,
    READONLY,
    SETTING_CONSTRAINT_VIOLATION,
    ServerError,
    denied,
)

_NAME = r"(?:[A-Za-z_]\w*|`(?:[^`\\]|\\.)*`)"
_OBJECT = rf"(?P<object>{_NAME}(?:\.{_NAME})?)"
# The engine's spelling of statements that have no tree as JSON.
_PLAIN = re.compile(
    rf"(?:EXISTS (?:TABLE|VIEW|DATABASE)|SHOW CREATE (?:TABLE|VIEW|DATABASE)|DESCRIBE TABLE) {_OBJECT}"
    r"(?: FORMAT (?P<format>\w+))?",
    re.ASCII,
)
_DESCRIBE = re.compile(r"DESCRIBE TABLE \((?P<select>.*)\)(?: FORMAT (?P<format>\w+))?", re.ASCII | re.DOTALL)
_NO_TREE = "does not support JSON serialization"


@dataclass(frozen=True, slots=True)
class Permitted:
    """What to run: the statement in the engine's spelling; `kind` is "rows", "SET" or "USE"."""

    sql: str
    kind: str


@dataclass(slots=True)
class Guard:
    """Decides for one server's reader. `permit` and `context` may be called from any thread."""

    user: str
    limits: Mapping[str, int] = field(default_factory=lambda: dict(lists.LIMITS))
    _functions: Functions | None = None

    def permit(self, sql: str, lane: Lane) -> Permitted:
        """The statement as it may run. Raises ServerError. `lane` is asked to parse, with its own settings."""
        canonical = str(lane.rows(f"SELECT formatQuerySingleLine({literal(sql)})", Context())[0][0])
        tree = self._tree(canonical, lane)
        if tree is None:
            self._plain(canonical, lane)
            return Permitted(canonical, "rows")
        return Permitted(canonical, self._kind(tree, lane))

    def context(self, database: str, settings: Mapping[str, str], parameters: Mapping[str, str]) -> Context:
        """What a statement runs with: the given settings, where allowed, and the limits. Raises ServerError."""
        self.check_database(database)
        for name, value in settings.items():
            self.check_setting(name, value)
        bounds = {name: str(most) for name, most in self.limits.items()}
        # Results are never cut off silently.
        modes = {"result_overflow_mode": "throw", "timeout_overflow_mode": "throw"}
        return Context(database, {**modes, **bounds, **settings}, dict(parameters))

    def check_database(self, database: str) -> None:
        """Names without a database are looked up there: not in the one whose tables are listed one by one."""
        if database.lower() == "system":
            raise denied(self.user, "the current database system")

    def check_format(self, name: str) -> None:
        if name and name not in lists.FORMATS:
            raise denied(self.user, f"the format {name}")

    def check_setting(self, name: str, value: str) -> None:
        """Raises ServerError unless the setting is harmless with this value."""
        most = self.limits.get(name)
        if most is not None or name in lists.BOUNDS:
            if not _is_bounded(value, most):
                raise _violation(name, value, most)
        elif name not in lists.HARMLESS or (name.endswith("_overflow_mode") and value != "throw"):
            raise ServerError(READONLY, f"Cannot modify '{name}' setting in readonly mode. (READONLY)")

    def _tree(self, canonical: str, lane: Lane) -> dict[str, Any] | None:
        """The syntax tree, None for a statement whose kind has none."""
        try:
            [[text]] = lane.rows(f"SELECT parseQueryToJSON({literal(canonical)})", Context())
        except ServerError as error:
            if error.code == BAD_ARGUMENTS and _NO_TREE in error.text:
                return None
            raise
        tree: dict[str, Any] = json.loads(text)
        return tree

    def _kind(self, tree: dict[str, Any], lane: Lane) -> str:
        match tree["type"]:
            case "SetQuery":
                self._check_set(tree)
                return "SET"
            case "UseQuery":
                self.check_database(str(tree["database"].get("name", "system")))
                return "USE"
        reader = Reader(self.user, self._known(lane))
        reader.statement(tree)
        self.check_format(reader.format)
        return "rows"

    def _check_set(self, tree: dict[str, Any]) -> None:
        if not tree.keys() <= {"type", "is_standalone", "changes"}:
            raise denied(self.user, "SET with anything but names and values")
        for change in tree["changes"]:
            self.check_setting(str(change["name"]), str(change["value"].get("value", "")))

    def _plain(self, canonical: str, lane: Lane) -> None:
        """Statements without a tree: names only, or a SELECT in brackets."""
        if (found := _PLAIN.fullmatch(canonical)) is not None:
            Reader(self.user, self._known(lane)).table(_parts(found["object"]))
        elif (found := _DESCRIBE.fullmatch(canonical)) is not None:
            tree = self._tree(found["select"], lane)
            if tree is None:
                raise denied(self.user, "DESCRIBE of this")
            Reader(self.user, self._known(lane)).select(tree)
        else:
            raise denied(self.user, " ".join(canonical.split()[:2]))
        self.check_format(found["format"] or "")

    def _known(self, lane: Lane) -> Functions:
        if self._functions is None:
            self._functions = Functions.read(lane)
        return self._functions


def _parts(name: str) -> list[str]:
    parts = re.findall(_NAME, name, re.ASCII)
    return [re.sub(r"\\(.)", r"\1", part[1:-1]) if part[0] == "`" else part for part in parts]


def _is_bounded(value: str, most: int | None) -> bool:
    """Whether a value is a number from 1 (0 would mean no limit) to the most there may be."""
    if not value.isascii() or not value.isdigit() or int(value) == 0:
        return most is None and value == "0"
    return most is None or int(value) <= most


def _violation(name: str, value: str, most: int | None) -> ServerError:
    bound = f"a number from 1 to {most}" if most else "a number"
    return ServerError(
        SETTING_CONSTRAINT_VIOLATION,
        f"Setting {name} should be {bound} for this user, not {value!r}. (SETTING_CONSTRAINT_VIOLATION)",
    )
