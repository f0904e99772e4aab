"""Reading the journal by several connections at the same time."""

from collections.abc import Generator
from functools import partial
from typing import Any

import pytest

from streams.restore import Piece, _side_by_side


def reading(name: str, history: Any) -> Generator[Piece, None, None]:
    for number in range(2):
        yield number, partial(history.append, f"{name} {number}")


@pytest.mark.parametrize("connections", [1, 2, 3, 4])
def test_each_reading_has_one_connection_and_a_connection_reads_one_after_the_other(connections: int) -> None:
    histories: list[Any] = [[] for _ in range(connections)]
    streams = _side_by_side(histories, [partial(reading, name) for name in "abc"])
    assert len(streams) == min(connections, 3)
    # Side by side: one piece of each, in turn.
    while streams:
        for stream in list(streams):
            if (piece := next(stream, None)) is None:
                streams.remove(stream)
            else:
                piece[1]()
    expected = {1: ["abc"], 2: ["ac", "b"], 3: ["a", "b", "c"], 4: ["a", "b", "c", ""]}[connections]
    assert histories == [[f"{name} {number}" for name in names for number in range(2)] for names in expected]


def test_a_reading_that_is_not_read_to_its_end_is_closed() -> None:
    """Its connection serves nothing else before."""
    closed = []

    def endless(_: Any) -> Generator[Piece, None, None]:
        try:
            while True:
                yield 1, list
        finally:
            closed.append(True)

    (stream,) = _side_by_side([[]], [endless])  # type: ignore[list-item]
    next(stream)
    stream.close()
    assert closed
