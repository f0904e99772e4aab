"""What enrichment has worked out before, kept within bounds."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Self

from streams.steps.agent import Agent, agent_of
from streams.steps.channel import click_ids_of, host_clues, medium_clues, source_clues
from streams.steps.geo import Geo, Place
from streams.steps.urls import host_of

AGENTS = PLACES = 1 << 16
HOSTS = URLS = TAGS = 1 << 14


class Lookups(NamedTuple):
    """Functions of one text that remember their latest answers; entries at most: agents and places 65,536, the others 16,384 each.

    ``has_geo`` is whether any place is known at all.
    """

    agent: Callable[[str], Agent]
    place: Callable[[str], Place]
    host: Callable[[str], str]
    click_ids: Callable[[str], int]
    host_clues: Callable[[str], int]
    medium_clues: Callable[[str], int]
    source_clues: Callable[[str], int]
    has_geo: bool

    @classmethod
    def open(cls, country_path: str, asn_path: str) -> Self:
        """Return empty lookups over the MMDB files named (none for an empty path). Raises GeoFileError."""
        return cls.over(Geo.open(country_path, asn_path))

    @classmethod
    def over(cls, geo: Geo) -> Self:
        """Return empty lookups over ``geo``."""
        return cls(
            agent=lru_cache(AGENTS)(agent_of),
            place=lru_cache(PLACES)(geo.place_of),
            host=lru_cache(URLS)(host_of),
            click_ids=lru_cache(URLS)(click_ids_of),
            host_clues=lru_cache(HOSTS)(host_clues),
            medium_clues=lru_cache(TAGS)(medium_clues),
            source_clues=lru_cache(TAGS)(source_clues),
            has_geo=bool(geo),
        )
