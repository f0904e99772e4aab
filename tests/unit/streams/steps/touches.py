"""Frames of touches for the tests of enrichment."""

from collections.abc import Mapping, Sequence

import polars as pl

COLUMNS = ("affiliate", "utm_source", "utm_medium", "referrer", "landing_url", "ip", "user_agent")


def touches(rows: Sequence[Mapping[str, str]]) -> pl.DataFrame:
    """Return a frame of the columns that enrichment reads; what a row does not name is empty."""
    return pl.DataFrame(
        [[row.get(name, "") for name in COLUMNS] for row in rows],
        dict.fromkeys(COLUMNS, pl.String),
        orient="row",
    )
