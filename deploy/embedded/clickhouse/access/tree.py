"""A walk over the engine's syntax tree that stops at the first thing not allowed."""

from typing import Any, NoReturn

from deploy.embedded.clickhouse.access import lists
from deploy.embedded.clickhouse.access.functions import Functions
from deploy.embedded.clickhouse.errors import denied

Node = dict[str, Any]
# A table of that name would be looked for as a file or an address by an embedded engine.
NOT_IN_TABLES = frozenset("./\\:*?")
IN_FUNCTIONS = frozenset(
    f"{scope}{name}{rest}"
    for scope in ("", "global")
    for name in ("in", "notin", "nullin", "notnullin")
    for rest in ("", "ignoreset")
)


class Reader:
    """Looks at one statement for one user. Every method raises ServerError; `format` is the one it names."""

    def __init__(self, user: str, functions: Functions) -> None:
        self.user = user
        self.functions = functions
        self.format = ""

    def statement(self, tree: Node) -> None:
        """A whole statement: a SELECT, EXPLAIN of one, or SHOW."""
        self.format = str(tree.get("format_ast", {}).get("name", ""))
        match tree["type"]:
            case "ExplainQuery":
                if tree["kind"] not in lists.EXPLAINS or "query" not in tree:
                    self._deny(str(tree["kind"]))
                self.select(tree["query"])
            case kind if kind in lists.SHOWS:
                self._show(tree)
            case _:
                self.select(tree)

    def select(self, tree: Node) -> None:
        if tree["type"] not in ("SelectWithUnionQuery", "SelectIntersectExceptQuery", "SelectQuery"):
            self._deny(str(tree["type"]))
        self._node(tree)

    def table(self, parts: list[str]) -> None:
        """A table's name, in one part or with its database."""
        if any(not part or NOT_IN_TABLES & set(part) for part in parts) or len(parts) > 2:
            self._deny(f"the table {'.'.join(parts)}")
        if parts[0].lower() == "system" and len(parts) == 2 and parts[1] not in lists.SYSTEM_TABLES:
            self._deny(f"the table {'.'.join(parts)}")

    def _show(self, tree: Node) -> None:
        if lists.SHOW_TABLES_OF & tree.keys():
            self._deny("SHOW of this")
        if "table" in tree:
            self.table([part for part in (str(tree.get("database", "")), str(tree["table"])) if part])
        for value in tree.values():
            self._value(value)

    def _value(self, value: Any) -> None:
        if isinstance(value, dict):
            self._node(value)
        elif isinstance(value, list):
            for item in value:
                self._value(item)

    def _node(self, node: Node) -> None:
        kind = node.get("type")
        if kind == "Literal" or (kind is None and "field_type" in node):
            return
        if kind is None and not node.keys() <= {"name", "value"}:
            self._deny("an unknown part of a statement")
        if kind is None:
            # A setting: its name and value.
            self._value(node.get("value"))
            return
        if kind not in lists.NODES:
            self._deny(str(kind))
        self._one(str(kind), node)
        for name, value in node.items():
            if name != "table_function":
                self._value(value)

    def _one(self, kind: str, node: Node) -> None:
        if "out_file" in node:
            self._deny("INTO OUTFILE")
        match kind:
            case "Function":
                self._function(node)
            case "ColumnsApplyTransformer" if "func_name" in node:
                self._call(str(node["func_name"]))
            case "QueryParameter" if "identifier" in str(node.get("param_type", "")).lower():
                self._deny("a parameter that is an identifier")
            case "TableIdentifier":
                self.table(_parts(node))
            case "Identifier":
                self._identifier(_parts(node))
            case "TableExpression" if "table_function" in node:
                self._table_function(node["table_function"])

    def _function(self, node: Node) -> None:
        self._call(str(node["name"]))
        if str(node["name"]).lower() in IN_FUNCTIONS:
            # Behind IN, a name is a table's.
            for argument in node.get("arguments", {}).get("children", [])[1:]:
                if argument.get("type") == "Identifier":
                    self.table(_parts(argument))

    def _call(self, name: str) -> None:
        if not self.functions.allows(name):
            self._deny(f"the function {name}")

    def _table_function(self, node: Node) -> None:
        name = str(node.get("name", ""))
        if node.get("type") != "Function" or name.lower() not in lists.TABLE_FUNCTIONS:
            self._deny(f"the table function {name}")
        for key, value in node.items():
            if key != "type":
                self._value(value)

    def _identifier(self, parts: list[str]) -> None:
        """A column's name may be anything, but `system.x` may be a table."""
        if len(parts) > 1 and parts[0].lower() == "system":
            self.table(parts[:2])

    def _deny(self, what: str) -> NoReturn:
        raise denied(self.user, what)


def _parts(node: Node) -> list[str]:
    parts = node.get("name_parts")
    return [str(part) for part in parts] if parts else [str(node.get("name", ""))]
