"""Giving memory that is free back to the system: what flushes leave free between what stays would else grow for days."""

import asyncio
import ctypes
from collections.abc import Callable

SECONDS = 60.0


def trim_of(library: object) -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``, None where the C library (musl, macOS) has none."""
    return getattr(library, "malloc_trim", None)


async def give_back(seconds: float = SECONDS) -> None:
    """Give back what is free every so often, for ever. It takes some milliseconds, of another thread."""
    trim = trim_of(ctypes.CDLL(None))
    while True:
        await asyncio.sleep(seconds)
        if trim is not None:
            await asyncio.to_thread(trim, 0)
