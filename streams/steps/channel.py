"""Grouping traffic into channels (docs/rules.md, section 5).

What a record says is gathered as clues, one bit each, from its fields; the channel follows from the clues alone, by a table.
"""

from collections.abc import Iterable, Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from schemas.reference import channel_lists
from streams.steps.urls import Names, flags_of, names_of

# The first three are what the click ids of a query can say, so that they fit the flags of ``urls``.
SEARCH_CLICK = 1 << 0
DISPLAY = 1 << 1
SOCIAL_TOUCH = 1 << 2
"""A medium or click id of a social network."""
AFFILIATE = 1 << 3
EMAIL = 1 << 4
PAID = 1 << 5
SEARCH = 1 << 6
"""A source or referring host that is a search engine."""
SOCIAL = 1 << 7
"""A source or referring host that is a social network."""
ORGANIC = 1 << 8
REFERRAL = 1 << 9
TAGGED = 1 << 10
"""A source or medium is given at all."""
CLUES = 1 << 11
"""Number of combinations."""

CHANNELS = (
    *("affiliate", "email", "display", "paid_search", "paid_social", "paid_other"),
    *("organic_search", "organic_social", "referral", "other", "direct"),
)


def channel_of(clues: int) -> str:
    """Return the channel that ``clues`` mean: the first rule that applies."""
    if clues & AFFILIATE:
        return "affiliate"
    if clues & EMAIL:
        return "email"
    if clues & DISPLAY:
        return "display"
    if clues & SEARCH_CLICK or (clues & PAID and clues & SEARCH):
        return "paid_search"
    if clues & PAID:
        return "paid_social" if clues & SOCIAL else "paid_other"
    if clues & (ORGANIC | SEARCH):
        return "organic_search"
    if clues & (SOCIAL_TOUCH | SOCIAL):
        return "organic_social"
    if clues & REFERRAL:
        return "referral"
    return "other" if clues & TAGGED else "direct"


@cache
def channel_table() -> npt.NDArray[np.uint8]:
    """Return the index in CHANNELS for every combination of clues."""
    return np.array([CHANNELS.index(channel_of(clues)) for clues in range(CLUES)], dtype=np.uint8)


def medium_clues(medium: str) -> int:
    """Return the clues of a utm_medium."""
    lists, text = channel_lists(), medium.lower()
    return (
        (TAGGED if text else 0)
        | (AFFILIATE if text in lists["affiliate_mediums"] else 0)
        | (EMAIL if text in lists["email_mediums"] else 0)
        | (DISPLAY if text in lists["display_mediums"] else 0)
        | (PAID if text in lists["paid_mediums"] else 0)
        | (SOCIAL_TOUCH if text in lists["social_mediums"] else 0)
        | (ORGANIC if text == "organic" else 0)
        | (REFERRAL if text == "referral" else 0)
    )


def source_clues(source: str) -> int:
    """Return the clues of a utm_source."""
    lists, text = channel_lists(), source.lower()
    return (
        (TAGGED if text else 0)
        | (EMAIL if text in lists["email_mediums"] else 0)
        | (SEARCH if text in lists["search_sources"] else 0)
        | (SOCIAL if text in lists["social_sources"] else 0)
    )


def host_clues(host: str) -> int:
    """Return the clues of a referring host, given in lower case and without ``www.``."""
    lists = channel_lists()
    domains = frozenset(_domains(host))
    return (SEARCH if domains & lists["search_hosts"] else 0) | (
        SOCIAL if domains & lists["social_hosts"] else 0
    )


def _domains(host: str) -> Iterable[str]:
    """Yield ``host`` and every domain above it."""
    yield host
    for place, character in enumerate(host):
        if character == ".":
            yield host[place + 1 :]


@cache
def _click_id_clues() -> Mapping[str, int]:
    lists = channel_lists()
    kinds = (("search", SEARCH_CLICK), ("display", DISPLAY), ("social", SOCIAL_TOUCH))
    return {name: clue for kind, clue in kinds for name in lists[f"{kind}_click_ids"]}


@cache
def click_id_names() -> Names:
    """Return the click ids to look for in a query, with the clues they are."""
    return names_of(_click_id_clues())


def click_ids_of(url: str) -> int:
    """Return the clues of the click ids in the query of one ``url``."""
    return flags_of(url, _click_id_clues())
