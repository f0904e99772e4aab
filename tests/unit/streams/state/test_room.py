"""Room that is made in one go: what is reserved holds as much and changes nothing."""

import numpy as np
import pytest

from streams.state.chains import Chains
from streams.state.ids import DUPLICATE, NEW, SeenIds
from streams.state.touches import Touches


@pytest.mark.parametrize("reserved", [0, 10, 100_000])
def test_ids(reserved: int) -> None:
    seen = SeenIds(1000, 0, 1_000_000)
    keys = np.arange(1, 50_001, dtype=np.uint64)
    times = np.zeros(len(keys), dtype=np.int64)
    assert set(seen.check(keys[:3], times[:3], keys[:3]).tolist()) == {NEW}
    seen.reserve(reserved)
    assert set(seen.check(keys[:3], times[:3], keys[:3]).tolist()) == {DUPLICATE}
    held = seen.nbytes
    assert set(seen.check(keys[3:], times[3:], keys[3:]).tolist()) == {NEW}
    assert (seen.nbytes == held) == (reserved > len(keys))


def test_no_more_ids_than_may_be() -> None:
    seen = SeenIds(1000, 0, 5_000)
    seen.reserve(10_000_000)
    assert seen.nbytes < 1 << 20


@pytest.mark.parametrize("reserved", [0, 10, 100_000])
def test_chains(reserved: int) -> None:
    chains = Chains()
    chains.add(np.array([7, 8], dtype=np.uint64))
    chains.reserve(reserved)
    chains.add(np.array([7], dtype=np.uint64))
    assert chains.find(np.array([7], dtype=np.uint64)).rows.tolist() == [2, 0]


def test_touches_take_no_step_more() -> None:
    touches = Touches()
    touches.reserve(100_000)
    columns = {id(column) for column in touches._columns.values()}
    assert {len(column) for column in touches._columns.values()} == {100_000}
    touches.reserve(10)
    assert {id(column) for column in touches._columns.values()} == columns
