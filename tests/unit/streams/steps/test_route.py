"""Routes and partitions agree with the definitions in ``schemas``."""

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import ALPHABET, route_of, transaction_route
from schemas.partitioning import partition_for
from streams.steps.route import partitions, routes, transaction_routes

minted = st.text(ALPHABET, min_size=30, max_size=30)
nearly_minted = st.text(ALPHABET + "1890AZ-é", min_size=28, max_size=31)
identifiers = st.one_of(minted, nearly_minted, st.text(max_size=20))


@given(st.lists(identifiers))
def test_routes_of_ids(ids: list[str]) -> None:
    assert routes(pl.Series(ids, dtype=pl.String)).to_list() == [route_of(identifier) for identifier in ids]


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9))))
def test_routes_of_transactions(pairs: list[tuple[str, str]]) -> None:
    partner = pl.Series([partner for partner, _ in pairs], dtype=pl.String)
    transaction = pl.Series([transaction for _, transaction in pairs], dtype=pl.String)
    assert transaction_routes(partner, transaction).to_list() == [transaction_route(*pair) for pair in pairs]


@given(st.lists(st.text(max_size=12)), st.integers(1, 10_000))
def test_partitions_of_keys(keys: list[str], count: int) -> None:
    found = partitions(pl.Series(keys, dtype=pl.String), count)
    assert found.dtype == np.int32
    assert found.tolist() == [partition_for(key.encode(), count) for key in keys]


@given(st.lists(identifiers, min_size=4))
def test_a_part_of_a_column_is_a_column(ids: list[str]) -> None:
    part = pl.Series(ids).append(pl.Series(ids))[1 : len(ids) + 2]
    assert routes(part).to_list() == [route_of(identifier) for identifier in part]
