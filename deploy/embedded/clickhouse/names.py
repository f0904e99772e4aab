"""Lists of names, written as one text."""


def names_in(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())
