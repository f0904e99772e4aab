"""Making items while those before them are used."""

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def ahead(streams: Sequence[Generator[Item, None, None]], most: int = 1) -> Iterator[Item]:
    """Yield the items of ``streams`` as they come, those of one stream in their order.

    Each has a thread that makes its next items meanwhile, ``most`` at most. What making one raises is raised here, in its place. All streams
    are closed in the end: one that stopped half-way would keep what it reads from.
    """
    with ExitStack() as ending:
        makers = [ThreadPoolExecutor(1, thread_name_prefix="ahead") for _ in streams]
        for maker, stream in zip(makers, streams, strict=True):
            ending.callback(stream.close)
            ending.callback(maker.shutdown, cancel_futures=True)
        coming: list[list[Future[object]]] = [
            [maker.submit(next, stream, _END) for _ in range(most)]
            for maker, stream in zip(makers, streams, strict=True)
        ]
        while any(coming):
            wait([futures[0] for futures in coming if futures], return_when=FIRST_COMPLETED)
            for place, futures in enumerate(coming):
                if not futures or not futures[0].done():
                    continue
                item = futures.pop(0).result()
                if item is _END:
                    futures.clear()
                else:
                    futures.append(makers[place].submit(next, streams[place], _END))
                    yield item  # type: ignore[misc]
