"""Ids that lead to a visitor of another route."""

import numpy as np
import polars as pl
import pytest

from schemas.ids import route_of
from streams.linking import alias_columns, aliases
from streams.state.aliases import Aliases, Lead
from streams.state.hashing import hash_of
from streams.state.touches import route_codes

NETWORKS = "gclid-1"


def route_code(route: str) -> int:
    return int(route_codes(pl.Series([route]))[0])


HOME = route_code(route_of(NETWORKS))


def frame(*rows: tuple[str, str, int, int]) -> pl.DataFrame:
    """Aliases: id, visitor, occurred_at and event id; the record time is a second later."""
    ids, visitors, times, events = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "identity_key": ids,
            "visitor_id": visitors,
            "route": [route_of(one) for one in ids],
            "occurred_at": times,
            "_record_time": [time + 1000 for time in times],
            "event_hi": pl.Series([event >> 64 for event in events], dtype=pl.UInt64),
            "event_lo": pl.Series([event & (1 << 64) - 1 for event in events], dtype=pl.UInt64),
        }
    )


def known(limit: int, *rows: tuple[str, str, int, int]) -> Aliases:
    found, columns = Aliases(limit), frame(*rows)
    found.add(alias_columns(columns), columns["visitor_id"].to_list())
    return found


def test_the_earliest_touch_counts_and_of_two_the_smaller_id() -> None:
    found = known(5, (NETWORKS, "b", 20, 1), (NETWORKS, "a", 10, 9), (NETWORKS, "c", 10, 1 << 100))
    assert found.lead(hash_of(NETWORKS), HOME, 30) == Lead(10, 9, "a")
    assert found.lead(hash_of(NETWORKS), HOME, 9) is None
    assert found.visitors(hash_of(NETWORKS), HOME) == {"a", "b", "c"}


def test_an_id_is_known_on_its_own_route_only() -> None:
    found = known(5, (NETWORKS, "a", 10, 1))
    wanted = np.array([hash_of(NETWORKS), hash_of(NETWORKS), hash_of("other")], dtype=np.uint64)
    routes = np.array([HOME, HOME + 1, HOME], dtype=np.uint32)
    assert found.known(wanted, routes).tolist() == [True, False, False]
    assert found.lead(hash_of(NETWORKS), HOME + 1, 30) is None


@pytest.mark.parametrize("visitors", [2, 3])
def test_an_id_of_too_many_visitors_leads_nowhere(visitors: int) -> None:
    found = known(2, *[("undefined", f"v{number}", number, number) for number in range(visitors)])
    name, home = hash_of("undefined"), route_code(route_of("undefined"))
    assert found.crowded(name, home) == (visitors > 2)
    assert (found.lead(name, home, 99) is None) == (visitors > 2)


def test_of_an_id_of_too_many_visitors_no_more_is_remembered() -> None:
    found = known(2, *[("undefined", f"v{number}", number, number) for number in range(3)])
    more = frame(("undefined", "v9", 9, 9), (NETWORKS, "v9", 9, 9))
    found.add(alias_columns(more), more["visitor_id"].to_list())
    assert found.rows == 4
    assert found.visitors(hash_of(NETWORKS), HOME) == {"v9"}


def test_of_too_many_visitors_in_one_go_no_more_are_remembered_than_tell_so() -> None:
    """A restart reads all of them; other ids among them stay whole, and so does one of few visitors that comes as often."""
    many = [("undefined", f"v{number}", number, number) for number in range(1000)]
    one = [(NETWORKS, "v9", number, number) for number in range(50)]
    found = known(2, *many, *one)
    assert found.rows == 3 + 50
    assert found.crowded(hash_of("undefined"), route_code(route_of("undefined")))
    assert found.lead(hash_of(NETWORKS), HOME, 99) == Lead(0, 0, "v9")


def test_the_same_visitor_many_times_is_one() -> None:
    found = known(2, *[(NETWORKS, "a", number, number) for number in range(1, 9)])
    more = frame((NETWORKS, "a", 0, 0))
    found.add(alias_columns(more), ["a"])
    assert found.lead(hash_of(NETWORKS), HOME, 99) == Lead(0, 0, "a")


def test_what_is_old_is_forgotten_but_for_what_may_not_be_journaled() -> None:
    found = known(5, (NETWORKS, "a", 10, 1))
    found.expire(5000)
    assert found.lead(hash_of(NETWORKS), HOME, 99) == Lead(10, 1, "a")
    more = frame((NETWORKS, "b", 20, 2))
    found.add(alias_columns(more), ["b"])
    found.expire(5000)
    assert found.visitors(hash_of(NETWORKS), HOME) == {"b"}
    found.expire(5000)
    assert found.visitors(hash_of(NETWORKS), HOME) == set() and found.rows == 0


VISITOR, OTHER = "abcd" + "e" * 26, "wxyz" + "e" * 26


@pytest.mark.parametrize(
    ("kind", "own", "external", "expected"),
    [
        ("click", VISITOR, "", []),
        ("click", VISITOR, NETWORKS, [NETWORKS]),
        ("click", NETWORKS, NETWORKS, [NETWORKS]),
        ("click", "their-click", NETWORKS, ["their-click", NETWORKS]),
        ("click", OTHER, "", [OTHER]),
        ("lead", VISITOR, "", []),
        ("lead", "their-lead", "", ["their-lead"]),
    ],
)
def test_which_ids_need_an_alias(kind: str, own: str, external: str, expected: list[str]) -> None:
    touch = frame(("ignored", VISITOR, 10, 7)).drop("identity_key")
    ids = {"click_id": own, "lead_id": own, "external_id": external}
    touch = touch.with_columns(
        kind=pl.lit(kind), route=pl.lit("abcd"), **{name: pl.lit(one) for name, one in ids.items()}
    )
    found = aliases(touch)
    assert [wish[5] for wish in found] == expected
    for wish in found:
        assert wish[1:5] == ("alias", 10, route_of(wish[5]), VISITOR)
        assert wish[8:10] == ("00000000-0000-0000-0000-000000000007", kind)
