"""The columns of a table, and what their ClickHouse types mean for packing."""

import re
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import polars as pl

NUMBERS: dict[str, Any] = {
    "UInt8": pl.UInt8,
    "UInt16": pl.UInt16,
    "UInt32": pl.UInt32,
    "UInt64": pl.UInt64,
    "Int8": pl.Int8,
    "Int16": pl.Int16,
    "Int32": pl.Int32,
    "Int64": pl.Int64,
    "Float32": pl.Float32,
    "Float64": pl.Float64,
}
_ENUM_ITEM = re.compile(r"'((?:[^'\\]|\\.)*)' = (-?\d+)")


class Form(Enum):
    """How the values of a column lie in a native block."""

    NUMBER = auto()
    NULLABLE_NUMBER = auto()
    ENUM = auto()
    UUID = auto()
    FIXED_STRING = auto()
    STRING = auto()
    DICTIONARY = auto()


class UnpackableType(TypeError):
    """A column's type cannot be packed."""

    def __init__(self, column: "Column") -> None:
        super().__init__(f"column {column.name}: type {column.type} cannot be packed")
        self.column = column


@dataclass(frozen=True, slots=True)
class Column:
    """A column by its name and its ClickHouse type."""

    name: str
    type: str

    @property
    def form(self) -> Form:
        """Raises UnpackableType where there is none."""
        if self.type in ("String", "UUID"):
            return Form[self.type.upper()]
        if self.type == "LowCardinality(String)":
            return Form.DICTIONARY
        if self.type.startswith("Enum8("):
            return Form.ENUM
        if self.type.startswith("FixedString("):
            return Form.FIXED_STRING
        if self.type.startswith("Nullable("):
            if self.type[9:-1] in NUMBERS:
                return Form.NULLABLE_NUMBER
        elif self.type in NUMBERS or self.type.startswith("DateTime64("):
            return Form.NUMBER
        raise UnpackableType(self)

    @property
    def number(self) -> Any:
        """The Polars type of its numbers; a DateTime64 is a number of ticks."""
        return (
            pl.Int64
            if self.type.startswith("DateTime64(")
            else NUMBERS[self.type.removeprefix("Nullable(").removesuffix(")")]
        )

    @property
    def width(self) -> int:
        """Bytes of a FixedString, 0 of another type."""
        return int(self.type[12:-1]) if self.form is Form.FIXED_STRING else 0

    @property
    def members(self) -> dict[str, int]:
        """Names and numbers of an Enum8."""
        return {name.replace("\\'", "'"): int(number) for name, number in _ENUM_ITEM.findall(self.type)}

    @property
    def inputs(self) -> tuple[str, ...]:
        """The frame's columns it is packed from: ``x_id`` of type UUID from its halves ``x_hi`` and ``x_lo``."""
        if self.type == "UUID":
            stem = self.name.removesuffix("_id")
            return f"{stem}_hi", f"{stem}_lo"
        return (self.name,)
