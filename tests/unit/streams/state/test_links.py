"""Who belongs to whom."""

import numpy as np

from streams.state.hashing import hash_of
from streams.state.links import Links


def test_belonging_follows_each_pair_as_soon_as_it_is_known() -> None:
    links, visitors = Links(), ["a", "b", "c"]
    hashes = np.array([hash_of(visitor) for visitor in visitors], dtype=np.uint64)
    assert not links.belonging(hashes).any()
    links.pair("b", "a")
    assert links.belonging(hashes).tolist() == [False, True, False]
    links.pair("c", "a")
    assert links.belonging(hashes).tolist() == [False, True, True]
    assert links.text(int(hashes[2])) == "c"


def test_a_key_of_many_belongs_to_nobody() -> None:
    """Limit 2: a, b and c claim a key; the third is one too many, and who comes later is not even remembered."""
    links = Links(limit=2)
    assert [links.claim("key", visitor, 1) for visitor in ("a", "a", "b", "c", "d")] == [
        None,
        None,
        "a",
        "a",
        "",
    ]
