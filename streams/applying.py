"""A model version applied to all that is journaled: the steps of a worker over history, a part of the routes at a time.

What is in force already is known from the journal and only what is missing comes out, so doing it again, or going on after a crash, adds nothing.
"""

from collections.abc import Iterator

import polars as pl

from schemas.attribution import Model, counts
from sinks.clickhouse.history import History
from streams.cold import put_requests, put_touches
from streams.crediting import Hit, credit, requests_of
from streams.linking import put_aliases, restore_links
from streams.state.links import Links
from streams.state.partition import PartitionState, aliases_of

ALL = -1
"""A floor (record time, ms) that everything lies above."""
REQUESTS = 20_000
"""Conversions credited at a time."""


def missing_credits(
    history: History, model: Model, person_limit: int, part: int, parts: int
) -> Iterator[pl.DataFrame]:
    """Yield the signed credit rows that ``model`` lacks for the conversions of one of ``parts`` parts of the routes.

    ``person_limit``: visitors that one person may have. What is to be sent on was sent when it happened: nothing is here.
    Each row names the record of its credit request as its cause. Raises what `Connection` raises.
    """
    state = PartitionState({}, (model,), links=Links(person_limit), aliases=aliases_of(person_limit))
    states = {part: state}
    for touches in history.touches({part: ALL}, parts, counts(state.models, "impression")):
        put_touches(states, touches)
    for aliases in history.aliases({part: ALL}, parts):
        put_aliases(states, aliases)
    restore_links(states, history.links([part], parts))
    requests, in_force = history.requests({part: ALL}, parts)
    put_requests(states, requests, in_force)
    standing = {request.request_id for request in state.requests.by_key.values()}
    hits = [
        Hit(number, key, trigger)
        for number, trigger, key, request in requests_of(requests)
        if request.request_id in standing
    ]
    for start in range(0, len(hits), REQUESTS):
        rows = credit(state, hits[start : start + REQUESTS])
        if rows is not None:
            yield rows
