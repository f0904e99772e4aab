"""How the values of a ClickHouse type lie in a native block, read from the type's name.

Native serialisation as it is for protocol revisions below 54454: no per-column kind byte, nothing sparse.
"""

import functools
import re
from dataclasses import dataclass

from deploy.embedded.clickhouse.errors import refused

SIZES = {
    **{"Int8": 1, "Int16": 2, "Int32": 4, "Int64": 8, "Int128": 16, "Int256": 32},
    **{"UInt8": 1, "UInt16": 2, "UInt32": 4, "UInt64": 8, "UInt128": 16, "UInt256": 32},
    **{"Float32": 4, "Float64": 8, "BFloat16": 2, "Bool": 1, "UUID": 16, "IPv4": 4, "IPv6": 16, "Nothing": 1},
    **{
        "Date": 2,
        "Date32": 4,
        "DateTime": 4,
        "DateTime64": 8,
        "Time": 4,
        "Time64": 8,
        "Enum8": 1,
        "Enum16": 2,
    },
    **{"Decimal32": 4, "Decimal64": 8, "Decimal128": 16, "Decimal256": 32},
}
GEO = {
    "Point": "Tuple(Float64, Float64)",
    "Ring": "Array(Point)",
    "LineString": "Array(Point)",
    "MultiLineString": "Array(LineString)",
    "Polygon": "Array(Ring)",
    "MultiPolygon": "Array(Polygon)",
}
_ELEMENT_NAME = re.compile(r'(?:`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|[A-Za-z_]\w*)\s+(?=\S)')
_ARGUMENT_PART = re.compile(r"""'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.)*`|"(?:[^"\\]|\\.)*"|[(),]|[^'`"(),]+""")


@dataclass(frozen=True, slots=True)
class Fixed:
    """Values of one size in bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class Text:
    """Each value is a varint length and that many bytes."""


@dataclass(frozen=True, slots=True)
class Nullable:
    """One byte per row, then the values."""

    inner: "Layout"


@dataclass(frozen=True, slots=True)
class Array:
    """A running total per row (8 bytes), then the elements of all rows."""

    inner: "Layout"


@dataclass(frozen=True, slots=True)
class Tuple:
    """One column after the other."""

    parts: tuple["Layout", ...]


@dataclass(frozen=True, slots=True)
class LowCardinality:
    """A version (8 bytes, before everything else of the column), then dictionaries with indexes into them."""

    inner: "Layout"


Layout = Fixed | Text | Nullable | Array | Tuple | LowCardinality


@functools.lru_cache(4096)
def layout_of(name: str) -> Layout:
    """The layout of a type. Raises ServerError, naming the type, for one whose end this front cannot find."""
    head, arguments = _parts(name)
    if name in GEO:
        return layout_of(GEO[name])
    match head:
        case "String":
            return Text()
        case "FixedString":
            return Fixed(int(arguments[0]))
        case "Decimal":
            return Fixed(_decimal_size(int(arguments[0])))
        case "SimpleAggregateFunction":
            return layout_of(arguments[-1])
        case "Nullable" | "Array" | "LowCardinality" | "Map" | "Tuple" | "Nested":
            return _composite(head, arguments)
    if head in SIZES:
        return Fixed(SIZES[head])
    if head.startswith("Interval"):
        return Fixed(8)
    raise refused(f"type {name}")


def _composite(head: str, arguments: list[str]) -> Layout:
    inner = tuple(layout_of(_ELEMENT_NAME.sub("", argument, count=1)) for argument in arguments)
    if not inner:
        raise refused(f"type {head}()")
    match head:
        case "Nullable":
            return Nullable(inner[0])
        case "Array":
            return Array(inner[0])
        case "LowCardinality":
            return LowCardinality(inner[0].inner if isinstance(inner[0], Nullable) else inner[0])
        case "Tuple":
            return Tuple(inner)
    return Array(Tuple(inner))


def _decimal_size(precision: int) -> int:
    return next(size for size, most in ((4, 9), (8, 18), (16, 38), (32, 76)) if precision <= most)


def _parts(name: str) -> tuple[str, list[str]]:
    """`Map(String, Array(UInt8))` → ("Map", ["String", "Array(UInt8)"])."""
    head, bracket, rest = name.strip().partition("(")
    if not bracket:
        return head, []
    arguments, current, depth = [], "", 0
    for part in _ARGUMENT_PART.findall(rest.rstrip()[:-1]):
        depth += (part == "(") - (part == ")")
        if part == "," and depth == 0:
            arguments.append(current.strip())
            current = ""
        else:
            current += part
    return head, [*arguments, current.strip()] if current.strip() else arguments
