"""Values as SQL literals."""

from collections.abc import Iterable

_QUOTED = str.maketrans({"\\": "\\\\", "'": "\\'"})
_LITERALLY = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def literal(text: str) -> str:
    """Return a string literal."""
    return f"'{text.translate(_QUOTED)}'"


def literals(texts: Iterable[str]) -> str:
    """Return string literals in parentheses, for IN."""
    return f"({', '.join(map(literal, texts))})"


def containing(text: str) -> str:
    """Return a LIKE pattern, as a literal, for what contains ``text`` to the letter."""
    return literal(f"%{text.translate(_LITERALLY)}%")
