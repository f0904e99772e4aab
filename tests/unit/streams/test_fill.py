import asyncio
import time

import numpy as np

from streams.fill import Fill, FlushPolicy
from streams.steps.batch import RawBatch


def batch(rows: int) -> RawBatch:
    column = np.arange(rows, dtype=np.int64)
    return RawBatch("clicks", np.zeros(rows, dtype=np.int32), column, column, [b""] * rows, [None] * rows)


def fill(rows: int = 10, seconds: float = 3600.0) -> Fill:
    return Fill(FlushPolicy(rows, seconds), time.monotonic)


def test_a_flush_is_due_at_its_rows() -> None:
    async def scenario() -> list[int]:
        filling = fill()
        taking = asyncio.create_task(filling.take())
        for rows in (4, 5, 6):
            await filling.put(batch(rows))
        return [len(taken) for taken in await taking]

    assert asyncio.run(scenario()) == [4, 5, 6]


def test_a_flush_is_due_at_its_time_however_few_rows_it_has() -> None:
    async def scenario() -> list[int]:
        filling = fill(seconds=0.01)
        await filling.put(batch(3))
        return [len(taken) for taken in await filling.take()]

    assert asyncio.run(scenario()) == [3]


def test_more_intake_waits_while_a_whole_flush_waits() -> None:
    async def scenario() -> tuple[bool, bool]:
        filling = fill()
        await filling.put(batch(10))
        more = asyncio.create_task(filling.put(batch(1)))
        await asyncio.sleep(0)
        waited = not more.done()
        await filling.take()
        await more
        return waited, more.done()

    assert asyncio.run(scenario()) == (True, True)


def test_clearing_lets_intake_go_on() -> None:
    async def scenario() -> int:
        filling = fill()
        await filling.put(batch(10))
        await filling.clear()
        await filling.put(batch(2))
        await filling.put(batch(8))
        return sum(len(taken) for taken in await filling.take())

    assert asyncio.run(scenario()) == 10
