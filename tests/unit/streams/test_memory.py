"""Memory that is free goes back to the system."""

import asyncio
import ctypes
import gc
import mmap
import subprocess
import sys
import time
import weakref
from threading import Event

import numpy as np
import numpy.typing as npt
import psutil
import pytest

from streams.memory import (
    _MADV_POPULATE_WRITE,
    HEAPS,
    _populate,
    give_back,
    keep_large_apart,
    populated,
    share_heaps,
    trim_of,
)

PIECES, BYTES = 4_000, 64 * 1024


LARGE = """
import ctypes, sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from streams.memory import LARGE_BYTES, keep_large_apart, large_together

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes, library.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

library.mallinfo.restype = Info
if "apart" in sys.argv:
    assert keep_large_apart(library)
if "afterwards" in sys.argv:
    with large_together():
        pass
with ThreadPoolExecutor(1) as thread, large_together() if "meanwhile" in sys.argv else nullcontext():
    # glibc takes it as a hint that pieces of up to this size come again, and keeps them in the heap from then on.
    thread.submit(lambda: library.free(library.malloc(512 * LARGE_BYTES))).result()
    before = library.mallinfo().hblks
    pieces = [thread.submit(library.malloc, LARGE_BYTES).result() for _ in range(200)]
    print(library.mallinfo().hblks - before)
"""


def test_a_library_without_it() -> None:
    assert trim_of(object()) is None
    assert not keep_large_apart(object())
    assert not share_heaps(object())


@pytest.mark.skipif(trim_of(ctypes.CDLL(None)) is None, reason=f"{sys.platform}: not glibc")
@pytest.mark.parametrize(
    ("how", "apart"),
    [("apart", True), ("as it is", False), ("apart meanwhile", False), ("apart afterwards", True)],
)
def test_large_pieces_are_kept_apart(how: str, apart: bool) -> None:
    """Of themselves they would not: were it so, nothing need be done about it."""
    command = [sys.executable, "-c", LARGE, *how.split()]
    found = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    # What the heap has room for goes there all the same.
    assert found > 100 if apart else found == 0


HEAPED = """
import ctypes, sys
from threading import Barrier, Thread
from streams.memory import share_heaps

library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
if "shared" in sys.argv:
    assert share_heaps(library)
together = Barrier(24)

def work():
    together.wait()
    library.malloc(1000)
    together.wait()

threads = [Thread(target=work) for _ in range(24)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library.malloc_stats()
"""


@pytest.mark.skipif(trim_of(ctypes.CDLL(None)) is None, reason=f"{sys.platform}: not glibc")
@pytest.mark.parametrize(("how", "few"), [("shared", True), ("as it is", False)])
def test_threads_share_heaps(how: str, few: bool) -> None:
    """Of themselves they would not."""
    command = [sys.executable, "-c", HEAPED, *how.split()]
    heaps = subprocess.run(command, capture_output=True, check=True, text=True).stderr.count("Arena ")
    assert (heaps <= HEAPS) == few


NAMED = """
import ctypes, sys
from streams.memory import keep_large_apart, settle_names

library = ctypes.CDLL(None)

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

library.mallinfo.restype = Info
large = lambda: library.mallinfo().hblkhd
keep_large_apart(library)
held = [None] * 200_000
for place in range(len(held)):
    before = large()
    held[place] = sys.intern(f"name {place}")
    if place > 50_000 and large() != before:
        break
# The table has just grown for these; a quarter more has room in it.
for place in range(place + 1, place * 5 // 4):
    held[place] = sys.intern(f"name {place}")
assert large() != before
if "settled" in sys.argv:
    settle_names()
before = large()
for place in range(2**20):
    sys.intern(f"another {place % 64}")
print(large() - before)
"""


@pytest.mark.skipif(trim_of(ctypes.CDLL(None)) is None, reason=f"{sys.platform}: not glibc")
@pytest.mark.parametrize(("how", "grows"), [("settled", False), ("as it is", True)])
def test_the_table_of_names_has_its_size_from_the_start(how: str, grows: bool) -> None:
    """Where interned names are immortal none passes, and it does not grow for them."""
    command = [sys.executable, "-c", NAMED, *how.split()]
    grown = int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert (grown > 0) == (grows and sys.version_info[:2] != (3, 12))


class Piece:
    """Something in a cycle."""

    def __init__(self) -> None:
        self.me = self


ARROW = """
import sys
import pyarrow as pa
from streams.memory import share_with_arrow

if "shared" in sys.argv:
    share_with_arrow()
kept = pa.array(range(100_000))
print(pa.system_memory_pool().bytes_allocated() >= 800_000)
"""


@pytest.mark.parametrize("how, ours", [("shared", True), ("as it is", False)])
def test_arrow_takes_from_our_heaps(how: str, ours: bool) -> None:
    command = [sys.executable, "-c", ARROW, how]
    assert subprocess.check_output(command, text=True) == f"{ours}\n"


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


def fresh(size: int) -> npt.NDArray[np.uint8]:
    """Memory that nobody had before: the heap's may be there already."""
    return np.frombuffer(mmap.mmap(-1, size), dtype=np.uint8)


def can_populate() -> bool:
    try:
        mmap.mmap(-1, mmap.PAGESIZE).madvise(_MADV_POPULATE_WRITE)
    except (OSError, AttributeError):
        return False
    return True


@pytest.mark.skipif(not can_populate(), reason="this kernel has no MADV_POPULATE_WRITE: it came with 5.14")
def test_pages_are_provided_before_they_are_written() -> None:
    """Nobody writes; and what was written stays."""
    me = psutil.Process()
    arrays = [fresh(32 * 2**20) for _ in range(3)]
    arrays[0][:10] = 7
    before = me.memory_info().rss
    with populated(arrays):
        deadline = time.monotonic() + 60
        while me.memory_info().rss - before < 90 * 2**20 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert me.memory_info().rss - before >= 90 * 2**20
    assert [int(array.sum()) for array in arrays] == [70, 0, 0]


def test_what_is_not_needed_any_more_is_not_waited_for() -> None:
    ended = Event()
    ended.set()
    array = fresh(512 * 2**20)
    before = psutil.Process().memory_info().rss
    _populate([array], ended)
    assert psutil.Process().memory_info().rss - before < 256 * 2**20
