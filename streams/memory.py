"""Giving back what is not needed any more: cycles, which are looked for seldom while records come (`deploy.worker`), keep what they hold; and what
flushes leave free between what stays would else grow for days."""

import asyncio
import ctypes
import gc
from collections.abc import Callable

SECONDS = 60.0
LARGE_BYTES = 1 << 15
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Of glibc's malloc.h."""


def share_one_heap(library: object) -> bool:
    """Let the threads of this process share one heap, and keep pieces of `LARGE_BYTES` and more out of it; return whether that was possible.

    Otherwise each thread has a heap of its own, which takes in what grows (up to 32 MiB in one piece) and keeps the holes that it leaves: the
    threads take turns anyway. It is for glibc and for a process that has hardly begun.
    """
    set_option: Callable[[int, int], int] | None = getattr(library, "mallopt", None)
    if set_option is None or trim_of(library) is None:
        return False
    return set_option(_M_MMAP_THRESHOLD, LARGE_BYTES) == 1


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
