"""Making the next item while this one is used."""

import threading
from collections.abc import Generator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.ahead import Item, ahead


def made_of(items: Iterable[Item]) -> Generator[Item, None, None]:
    yield from items


def test_everything_comes_in_its_order() -> None:
    assert list(ahead([made_of(range(100))])) == list(range(100))
    assert list(ahead([made_of([])])) == []
    assert list(ahead([])) == []


@given(st.lists(st.integers(0, 20), max_size=4), st.integers(1, 3))
def test_each_stream_comes_in_its_order(lengths: list[int], most: int) -> None:
    streams = [[(number, place) for place in range(length)] for number, length in enumerate(lengths)]
    found = list(ahead([made_of(stream) for stream in streams], most))
    assert [[item for item in found if item[0] == number] for number in range(len(lengths))] == streams


def test_no_stream_waits_for_another() -> None:
    used = threading.Event()

    def slow() -> Generator[str, None, None]:
        assert used.wait(60)
        yield "slow"

    coming = ahead([slow(), made_of(["a", "b"])])
    assert [next(coming), next(coming)] == ["a", "b"]
    used.set()
    assert list(coming) == ["slow"]


def test_the_next_one_is_made_while_this_one_is_used() -> None:
    making = threading.Event()

    def items() -> Generator[int, None, None]:
        yield 1
        making.set()
        yield 2

    coming = ahead([items()])
    assert next(coming) == 1
    assert making.wait(60)
    assert list(coming) == [2]


def test_no_more_are_made_than_may_wait() -> None:
    made, enough = list[int](), threading.Event()

    def items() -> Generator[int, None, None]:
        for number in range(10):
            made.append(number)
            if number == 3:
                enough.set()
            yield number

    coming = ahead([items()], 3)
    assert next(coming) == 0
    assert enough.wait(60)
    assert made == [0, 1, 2, 3]
    assert list(coming) == list(range(1, 10))


def test_what_making_one_raises_comes_in_its_place() -> None:
    def items() -> Generator[int, None, None]:
        yield 1
        raise ValueError("no second")

    coming = ahead([items()])
    assert next(coming) == 1
    with pytest.raises(ValueError, match="no second"):
        next(coming)


def test_no_stream_is_left_half_way() -> None:
    """Each may hold a connection that serves nothing else meanwhile; the error itself keeps the streams alive for as long as it is handled."""
    closed, waiting = threading.Event(), threading.Event()

    def half_way() -> Generator[int, None, None]:
        try:
            while True:
                waiting.set()
                yield 1
        finally:
            closed.set()

    def broken() -> Generator[int, None, None]:
        assert waiting.wait(60)
        raise ValueError("away")
        yield 3

    with pytest.raises(ValueError, match="away") as handled:
        list(ahead([half_way(), broken()]))
    assert closed.is_set()
    assert handled.tb


def test_who_stops_leaves_no_thread() -> None:
    before = set(threading.enumerate())
    coming = ahead([made_of(range(10)), made_of(range(5))])
    next(coming)
    coming.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) <= before
