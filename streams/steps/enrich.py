"""Enrichment: columns that follow from one row alone (docs/rules.md, section 5).

Every text is looked at once per distinct value, except URLs: those are mostly unique, and compiled code cuts them.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from streams.steps.channel import AFFILIATE, CHANNELS, REFERRAL, channel_table, click_id_names
from streams.steps.columns import Coded, coded, coded_array, spread, string_array, string_bytes
from streams.steps.geo import NOWHERE
from streams.steps.lookups import Lookups
from streams.steps.urls import UNDECIDED, Names, hosts, locate, names_of

__all__ = ["Lookups", "enrich"]

Clues = npt.NDArray[np.uint16]


class _Cut(NamedTuple):
    """The hosts of a column of URLs (empty where undecided) and the flags of their queries."""

    hosts: pa.Array
    flags: npt.NDArray[np.uint8]


class _Hosts(NamedTuple):
    """Codes of the hosts of referrer and landing URL per row, into the distinct ``values``; the landing URLs' click ids."""

    referrer: npt.NDArray[np.int32]
    landing: npt.NDArray[np.int32]
    values: list[str]
    click_ids: Clues


def enrich(frame: pl.DataFrame, lookups: Lookups) -> pl.DataFrame:
    """Add channel, country, network, browser, os, device (String) and bot (UInt8) to a validated frame of touches or conversions."""
    return frame.with_columns(_channel(frame, lookups), *_places(frame, lookups), *_agents(frame, lookups))


def _agents(frame: pl.DataFrame, lookups: Lookups) -> list[pl.Series]:
    codes, values = coded(frame["user_agent"])
    agents = [lookups.agent(value) for value in values]
    return [
        spread("browser", [agent.browser for agent in agents], codes),
        spread("os", [agent.os for agent in agents], codes),
        spread("device", [agent.device for agent in agents], codes),
        pl.Series("bot", np.array([agent.bot for agent in agents], dtype=np.uint8)[codes]),
    ]


def _places(frame: pl.DataFrame, lookups: Lookups) -> list[pl.Series]:
    codes, places = np.zeros(frame.height, dtype=np.int32), [NOWHERE]
    if lookups.has_geo:
        codes, values = coded(frame["ip"])
        places = [lookups.place(value) for value in values]
    return [
        spread("country", [place.country for place in places], codes),
        spread("network", [place.network for place in places], codes),
    ]


def _channel(frame: pl.DataFrame, lookups: Lookups) -> pl.Series:
    located = _hosts(frame["referrer"], frame["landing_url"], lookups)
    clues = located.click_ids
    clues |= _clues(coded(frame["utm_medium"]), lookups.medium_clues)
    clues |= _clues(coded(frame["utm_source"]), lookups.source_clues)
    clues |= _clues(Coded(located.referrer, located.values), lookups.host_clues)
    clues[(frame["affiliate"] != "").to_numpy()] |= AFFILIATE
    named = np.array([bool(value) for value in located.values], dtype=np.bool_)
    clues[named[located.referrer] & (located.referrer != located.landing)] |= REFERRAL
    return spread("channel", CHANNELS, channel_table()[clues])


def _clues(column: Coded, clues_of: Callable[[str], int]) -> Clues:
    return np.array([clues_of(value) for value in column.values], dtype=np.uint16)[column.codes]


def _hosts(referrer: pl.Series, landing: pl.Series, lookups: Lookups) -> _Hosts:
    """Return the hosts of both URLs, coded alike so that codes can be compared, and the click ids of the landing URL."""
    referrers, landings = _cut(referrer, names_of({})), _cut(landing, click_id_names())
    both = coded_array(pa.concat_arrays([referrers.hosts, landings.hosts]))
    place_of = {value: place for place, value in enumerate(both.values)}
    codes = both.codes.copy()
    click_ids = landings.flags.astype(np.uint16)
    # Loops over rows: few URLs are so unusual that only the definition can tell about them.
    for row, url in _undecided(referrer, referrers.flags):
        codes[row] = place_of.setdefault(lookups.host(url), len(place_of))
    for row, url in _undecided(landing, landings.flags):
        codes[len(referrer) + row] = place_of.setdefault(lookups.host(url), len(place_of))
        click_ids[row] = lookups.click_ids(url)
    return _Hosts(codes[: len(referrer)], codes[len(referrer) :], list(place_of), click_ids)


def _cut(column: pl.Series, names: Names) -> _Cut:
    urls = string_bytes(column)
    located = locate(urls, names)
    return _Cut(string_array(hosts(urls, located)), located.flags)


def _undecided(urls: pl.Series, flags: npt.NDArray[np.uint8]) -> Iterator[tuple[int, str]]:
    rows = np.flatnonzero(flags == UNDECIDED)
    return zip(rows.tolist(), urls.gather(rows).to_list(), strict=True)
