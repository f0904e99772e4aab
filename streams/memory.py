"""Giving back what is not needed any more: cycles, which are looked for seldom while records come (`deploy.worker`), keep what they hold; and what
flushes leave free between what stays would else grow for days."""

import asyncio
import ctypes
import gc
import mmap
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any

import numpy.typing as npt
import pyarrow as pa

SECONDS = 60.0
LARGE_BYTES = 32 * 1024
HEAPS = 4
_LARGEST_BYTES = 32 * 2**20
"""More than this glibc does not let be asked for."""
_FREE_BYTES = 2**30
_USUAL_FREE_BYTES = 128 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""Of glibc's malloc.h."""
_NAMES = 2**18
"""More than the places of a table for 80,000 names, which are what a worker has."""
_MADV_POPULATE_WRITE = 23
"""Of Linux's mman.h, since 5.14."""


def share_heaps(library: object) -> bool:
    """Let threads share `HEAPS` heaps, and return whether that was possible: it is for glibc, before there are more.

    Of itself it makes one per thread, up to eight per core, and each keeps holes of its own.
    """
    return _set(library, _M_ARENA_MAX, HEAPS)


def share_with_arrow() -> None:
    """Let Arrow's buffers come from the same heaps. Of itself it has an allocator of its own, which takes large pages and keeps some MiB of them."""
    pa.set_memory_pool(pa.system_memory_pool())


def settle_names() -> None:
    """Let Python's table of interned names take the size now that it would take some time later.

    Names that come and go (of attributes, of columns) use its places up too; once they are, it gets room for three times the names that there are.
    With all that a worker imports that is 2 MiB, after a quarter of an hour. The same few names each time: where they are immortal, few stay.
    """
    for number in range(_NAMES):
        sys.intern(f"a passing name {number % 64}")


def keep_large_apart(library: object) -> bool:
    """Let pieces of `LARGE_BYTES` and more come from the system and go back there; return whether that was possible: it is for glibc.

    Of itself it takes that as a hint that such pieces come again, and keeps them in its heaps from then on, up to 32 MiB in one piece: columns that
    grow and are forgotten leave holes there for as long as the worker runs.
    """
    return _set(library, _M_MMAP_THRESHOLD, LARGE_BYTES) and _set(
        library, _M_TRIM_THRESHOLD, _USUAL_FREE_BYTES
    )


@contextmanager
def large_together() -> Iterator[None]:
    """Let pieces of up to 32 MiB come from the heaps meanwhile, and stay there when they are free: of what is read block by block each has the size
    of the one before, and what comes from the system anew is filled with zeros, page by page. At the end all that is free is given back."""
    library = ctypes.CDLL(None)
    _set(library, _M_MMAP_THRESHOLD, _LARGEST_BYTES)
    _set(library, _M_TRIM_THRESHOLD, _FREE_BYTES)
    try:
        yield
    finally:
        keep_large_apart(library)
        if trim := trim_of(library):
            trim(0)


@contextmanager
def populated(arrays: Sequence[npt.NDArray[Any]]) -> Iterator[None]:
    """Let the system provide the pages of ``arrays`` by a thread of its own meanwhile, in their order; what they hold stays as it is.

    Whoever writes first would else wait for each: for the tables of some million rows that takes a second, more on a virtual machine.
    """
    ended = Event()
    with ThreadPoolExecutor(1, thread_name_prefix="populate") as thread:
        thread.submit(_populate, arrays, ended)
        try:
            yield
        finally:
            ended.set()


def _populate(arrays: Sequence[npt.NDArray[Any]], ended: Event) -> None:
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    for array in arrays:
        start = -(-array.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
        for place in range(start, end, _LARGEST_BYTES):
            size = ctypes.c_size_t(min(_LARGEST_BYTES, end - place))
            # An older system says no: then it is as without.
            if ended.is_set() or not advise or advise(ctypes.c_void_p(place), size, _MADV_POPULATE_WRITE):
                return


def _set(library: object, option: int, value: int) -> bool:
    set_option: Callable[[int, int], int] | None = getattr(library, "mallopt", None)
    return set_option is not None and set_option(option, value) == 1


def trim_of(library: object) -> Callable[[int], int] | None:
    """Return glibc's ``malloc_trim``, None where the C library (musl, macOS) has none."""
    return getattr(library, "malloc_trim", None)


async def give_back(seconds: float = SECONDS) -> None:
    """Give back what is free every so often, for ever. It takes some milliseconds, most of them of another thread.

    Of cycles the younger ones are looked for: what has been there for long is not gone through each time. Large pieces are kept apart from now on,
    but while something is restored (`large_together`).
    """
    library = ctypes.CDLL(None)
    trim = trim_of(library)
    keep_large_apart(library)
    while True:
        gc.collect(1)
        if trim is not None:
            await asyncio.to_thread(trim, 0)
        await asyncio.sleep(seconds)
