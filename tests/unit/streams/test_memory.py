"""Memory that is free goes back to the system."""

import asyncio
import ctypes
import gc
import sys
import weakref

import numpy as np
import psutil
import pytest

from streams.memory import give_back, trim_of

PIECES, BYTES = 4_000, 64 * 1024


def test_a_library_without_it() -> None:
    assert trim_of(object()) is None


class Piece:
    """Something in a cycle."""

    def __init__(self) -> None:
        self.me = self


def test_cycles_are_given_back() -> None:
    """Python itself would look for them much later."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1_000_000)
    try:
        piece = weakref.ref(Piece())
        assert piece() is not None

        async def scenario() -> None:
            giving = asyncio.create_task(give_back(0.01))
            async with asyncio.timeout(60):
                while piece() is not None:
                    await asyncio.sleep(0.01)
            giving.cancel()
            await asyncio.gather(giving, return_exceptions=True)

        asyncio.run(scenario())
    finally:
        gc.set_threshold(*thresholds)


@pytest.mark.skipif(trim_of(ctypes.CDLL(None)) is None, reason=f"{sys.platform}: no malloc_trim")
def test_what_is_free_between_what_stays_is_given_back() -> None:
    """Every tenth piece stays, so that no end of the heap is free."""
    me = psutil.Process()
    pieces = [np.ones(BYTES, dtype=np.uint8) for _ in range(PIECES)]
    full = me.memory_info().rss
    del pieces[::10], pieces[::2], pieces[::3]

    async def scenario() -> None:
        giving = asyncio.create_task(give_back(0.01))
        async with asyncio.timeout(60):
            while full - me.memory_info().rss < PIECES * BYTES // 4:
                await asyncio.sleep(0.01)
        giving.cancel()
        await asyncio.gather(giving, return_exceptions=True)

    asyncio.run(scenario())
    assert pieces
