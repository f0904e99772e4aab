"""What lookups remember is bounded, and theirs alone."""

from functools import lru_cache
from typing import Any

from streams.steps.enrich import Lookups, enrich
from streams.steps.geo import Geo, Place
from tests.unit.streams.steps.touches import touches


class Asked(list[str]):
    """The addresses that were looked up."""

    def place_of(self, ip: str) -> Place:
        self.append(ip)
        return Place("DE", ip)


def test_a_value_is_looked_up_once() -> None:
    asked = Asked()
    lookups = Lookups.over(Geo())._replace(place=lru_cache(2)(asked.place_of), has_geo=True)
    for _ in range(2):
        frame = enrich(touches([{"ip": "a"}, {"ip": "b"}, {"ip": "a"}]), lookups)
        assert frame["network"].to_list() == ["a", "b", "a"]
    assert asked == ["a", "b"]


def test_caches_are_bounded_and_not_shared() -> None:
    first, second = Lookups.open("", ""), Lookups.open("", "")
    sizes = {name: cached.cache_info().maxsize for name, cached in _caches(first).items()}
    assert set(sizes) == {"agent", "place", "host", "click_ids", "host_clues", "medium_clues", "source_clues"}
    assert all(size and size <= 1 << 16 for size in sizes.values())
    first.host("https://a.b/")
    assert _caches(first)["host"].cache_info().currsize == 1
    assert _caches(second)["host"].cache_info().currsize == 0


def test_without_files_no_address_is_looked_up() -> None:
    lookups = Lookups.open("", "")
    enrich(touches([{"ip": "192.0.2.1"}]), lookups)
    assert _caches(lookups)["place"].cache_info().misses == 0


def _caches(lookups: Lookups) -> dict[str, Any]:
    return {name: value for name, value in lookups._asdict().items() if hasattr(value, "cache_info")}
