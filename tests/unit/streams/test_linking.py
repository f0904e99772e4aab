"""Persons in any order: claims and pairs passed about until nothing is left to say.

claims    A-x  B-x  B-y  C-y            pairs     B belongs to A, C to B
owners    C ──▶ B ──▶ A                  over the limit: told to A, whoever claimed
"""

import random
from collections import deque

import numpy as np
import numpy.typing as npt
import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.ids import route_of
from simulator.oracle.person import Persons
from streams.linking import Cause, pair, restore_links, take_pair
from streams.settings import WorkerSettings
from streams.state.hashing import hash_of
from streams.state.partition import PartitionState, empty_partition

CLAIMS = st.lists(
    st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("uvw")), min_size=6, max_size=20, unique=True
)
LATE = [("f", "u"), ("g", "u"), ("h", "u"), ("i", "u"), ("i", "v"), ("e", "v")]
"""With a limit of 2, i is too many; e, whom i belongs to, must hear of it before or after that."""
CAUSE = Cause(1, 1)


def joined(claims: list[tuple[str, str]], limit: int, seed: int) -> PartitionState:
    """One state for all routes. Messages are taken in any order, and some twice."""
    state = empty_partition(WorkerSettings(bootstrap="", person_limit=limit))
    chance = random.Random(seed)
    waiting: deque[tuple[str, str]] = deque()
    for visitor, key in claims:
        other = state.links.claim(key, visitor, 0)
        if other is not None:
            waiting.append(pair(visitor, other, CAUSE)[4:7:2])
    while waiting:
        waiting.rotate(chance.randrange(len(waiting)))
        visitor, winner = waiting[0] if chance.random() < 0.2 else waiting.popleft()
        waiting += [wish[4:7:2] for wish in take_pair(state, visitor, winner, CAUSE)]
    return state


def winner_of(state: PartitionState, visitor: str) -> str:
    while winner := state.links.winner(hash_of(visitor)):
        visitor = winner
    return visitor


@settings(max_examples=100)
@example(LATE, 2, 0)
@example(LATE, 2, 1)
@example(LATE, 2, 2)
@example(LATE, 2, 3)
@given(CLAIMS, st.integers(1, 3), st.integers(0, 1 << 30))
def test_persons_are_the_oracles_whatever_the_order(
    claims: list[tuple[str, str]], limit: int, seed: int
) -> None:
    state, everybody, persons = joined(claims, limit, seed), Persons(1000), Persons(limit)
    for visitor, key in claims:
        lead = {"visitor_id": visitor, "email_hash": key, "phone_hash": "", "consent": "unknown"}
        everybody.add_lead(lead)
        persons.add_lead(lead)
    for visitor in {visitor for visitor, _ in claims}:
        found = {other for other, _ in claims if winner_of(state, other) == winner_of(state, visitor)}
        winner = winner_of(state, visitor)
        apart = len(found) > limit or winner in state.links.crowded
        whole = set(everybody.visitors_with(visitor))
        assert ({visitor} if apart else found) == set(persons.visitors_with(visitor))
        assert found <= whole and winner == min(found)


def test_who_has_too_many_visitors_is_told_by_its_members() -> None:
    links = empty_partition(WorkerSettings(bootstrap="", person_limit=2)).links
    assert links.join("a", "b") and not links.join("a", "b")
    assert links.only(_hashes("a"), [""]) is None
    links.join("a", "c")
    only = links.only(_hashes("a", "x"), ["b", ""])
    assert only is not None and only.tolist() == [hash_of("b"), 0]


def test_a_pair_is_sent_to_the_larger_visitor() -> None:
    wish = pair("b", "a", CAUSE)
    assert wish[3:5] == (route_of("b"), "b") and wish[6] == "a"


def _hashes(*texts: str) -> npt.NDArray[np.uint64]:
    return np.array([hash_of(text) for text in texts], dtype=np.uint64)


PLACES = st.tuples(st.integers(0, 1), st.sampled_from("abcdef"), st.sampled_from("abcdef"))


@given(
    st.integers(1, 5),
    st.lists(PLACES, max_size=30),
    st.lists(PLACES, max_size=30),
    st.lists(PLACES, max_size=3),
)
def test_what_is_restored_is_what_came_one_by_one(
    limit: int,
    pairs: list[tuple[int, str, str]],
    members: list[tuple[int, str, str]],
    over: list[tuple[int, str, str]],
) -> None:
    """A visitor belongs to the first it was paired with; members come once for each winner that was named with them."""
    limited = WorkerSettings(bootstrap="", person_limit=limit)
    expected, found = ({number: empty_partition(limited) for number in range(2)} for _ in range(2))
    for number, visitor, winner in pairs:
        if not expected[number].links.winner(hash_of(visitor)):
            expected[number].links.pair(visitor, winner)
    for number, person, origin in members:
        expected[number].links.join(person, origin)
    for number, visitor, _ in over:
        expected[number].links.crowd(visitor)
    rows = [(number, visitor, winner, "") for number, visitor, winner in pairs]
    rows += [(number, visitor, "", "") for number, visitor, _ in over]
    rows += [(number, person, "", origin) for number, person, origin in members]
    schema = {"_partition": pl.UInt16, **dict.fromkeys(("visitor_id", "winner", "origin"), pl.String)}
    restore_links(found, pl.DataFrame(rows, schema=schema, orient="row"))
    hashes = _hashes(*"abcdef")
    for number in range(2):
        one, other = expected[number].links, found[number].links
        assert (one.pairs, one.apart, one.crowded) == (other.pairs, other.apart, other.crowded)
        belonging = one.belonging(hashes)
        assert belonging.tolist() == other.belonging(hashes).tolist()
        assert one.belonging_to(hashes[belonging]) == other.belonging_to(hashes[belonging])
        joined = [(person, origin) for person in "abcdef" for origin in "abcdef"]
        assert [one.joined(*each) for each in joined] == [other.joined(*each) for each in joined]
