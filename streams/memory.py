"""Giving back what is not needed any more: cycles, which are looked for seldom while records come (`deploy.worker`), keep what they hold; and what
flushes leave free between what stays would else grow for days."""

import asyncio
import ctypes
import gc
from collections.abc import Callable

SECONDS = 60.0


def trim_of(library: object) -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``, None where the C library (musl, macOS) has none."""
    return getattr(library, "malloc_trim", None)


async def give_back(seconds: float = SECONDS) -> None:
    """Give back what is free every so often, for ever. It takes some milliseconds, most of them of another thread.

    Of cycles the younger ones are looked for: what has been there for long is not gone through each time.
    """
    trim = trim_of(ctypes.CDLL(None))
    while True:
        await asyncio.sleep(seconds)
        gc.collect(1)
        if trim is not None:
            await asyncio.to_thread(trim, 0)
