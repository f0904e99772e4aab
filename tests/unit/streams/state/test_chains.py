from collections import defaultdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.state.chains import Chains


@given(st.lists(st.lists(st.integers(0, 40), max_size=60), max_size=8))
def test_it_finds_what_a_dictionary_of_lists_finds(batches: list[list[int]]) -> None:
    chains, expected, row = Chains(), defaultdict(list), 0
    for batch in batches:
        chains.add(np.array(batch, dtype=np.uint64))
        for key in batch:
            if key:
                expected[key].insert(0, row)
            row += 1
    wanted = np.arange(42, dtype=np.uint64)
    found = chains.find(wanted)
    assert found.places.tolist() == [key for key in range(42) for _ in expected.get(key, [])]
    assert found.rows.tolist() == [row for key in range(42) for row in expected.get(key, [])]
    assert chains.holds(wanted).tolist() == [key in expected for key in range(42)]
    assert [chains.newest(key) for key in range(42)] == [
        next(iter(expected.get(key, ())), -1) for key in range(42)
    ]


@given(st.lists(st.lists(st.integers(0, 40), max_size=60), max_size=8))
def test_replaced_it_is_as_if_made_anew(batches: list[list[int]]) -> None:
    chains, wanted = Chains(), np.arange(42, dtype=np.uint64)
    for batch in batches:
        hashes = np.array(batch, dtype=np.uint64)
        anew = Chains()
        anew.add(hashes)
        chains.replace(hashes)
        assert chains.find(wanted).rows.tolist() == anew.find(wanted).rows.tolist()
        assert (chains.rows, chains.distinct) == (anew.rows, anew.distinct)


def test_replaced_it_keeps_its_size_unless_that_is_far_too_large() -> None:
    chains, keys = Chains(), np.arange(1, 50_001, dtype=np.uint64)
    for start in range(0, len(keys), 7000):
        chains.add(np.repeat(keys[start : start + 7000], 2))
    before = chains._keys, chains._next
    chains.replace(keys[20_000:])
    chains.replace(np.repeat(keys[:20_000], 4))
    assert (chains._keys, chains._next)[0] is before[0]
    assert (chains._keys, chains._next)[1] is before[1]
    assert chains.find(keys[:3]).rows.tolist() == [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8]
    chains.replace(keys[:5_000])
    assert chains.nbytes < 16 * 2**14 + 4 * 2**14
    assert chains.find(keys[:3]).rows.tolist() == [0, 1, 2]


def test_it_grows() -> None:
    chains = Chains()
    keys = np.arange(1, 50_001, dtype=np.uint64)
    for start in range(0, len(keys), 7000):
        chains.add(keys[start : start + 7000])
    assert chains.find(keys[::977]).rows.tolist() == (keys[::977] - 1).tolist()
    assert chains.distinct == 50_000
