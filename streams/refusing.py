"""Finding the records whose rows ClickHouse refuses: halves are tried where nothing can land, until single records are left."""

import re
from collections.abc import Callable, Mapping

import polars as pl

from sinks.clickhouse.errors import Refused
from streams.unit import Line

MOST_REFUSED = 100
"""Records of one flush that become rejects. More than that is no matter of single records: somebody changed the table."""
DETAIL = 200
Record = tuple[str, int]
"""Source and offset."""


class DataRefused(Exception):
    """A flush cannot land because of ``records``: per line, their offsets and what ClickHouse says of each. ``refused`` is its error."""

    def __init__(self, records: Mapping[Line, Mapping[int, str]], refused: Refused) -> None:
        reasons = {reason for offsets in records.values() for reason in offsets.values()}
        super().__init__(
            f"{sum(map(len, records.values()))} records are refused: {', '.join(sorted(reasons))}"
        )
        self.records = records
        self.refused = refused


def refused_records(
    frame: pl.DataFrame, refusal: Callable[[pl.DataFrame], Refused | None]
) -> dict[Record, str]:
    """Return the records of which a row is refused, with the reason; none where the records are not what is wrong, or too many are.

    ``frame`` holds a whole flush; ``refusal`` tells why rows would be refused, None if they would be taken.
    """
    own = pl.col("kind") == "flush"
    # What is no record's: if that is refused, too, then no record is to blame.
    if refusal(frame.filter(own)) is not None:
        return {}
    rows = frame.filter(~own).with_columns(_record=pl.struct("_source", "_offset").rank("dense") - 1)
    found: dict[Record, str] = {}
    pieces = [(0, rows["_source", "_offset"].n_unique())]
    while pieces:
        first, end = pieces.pop()
        piece = rows.filter(pl.col("_record").is_between(first, end - 1)).drop("_record")
        error = refusal(piece) if piece.height else None
        if error is None:
            continue
        if end - first > 1:
            middle = (first + end) // 2
            pieces += [(first, middle), (middle, end)]
            continue
        found[piece["_source"][0], piece["_offset"][0]] = _detail(error)
        if len(found) > MOST_REFUSED:
            return {}
    return found


def _detail(error: Refused) -> str:
    """Return what the server says, without the row's values: the reject keeps the record anyway."""
    text = re.split(" for table | at row ", error.text.removeprefix("DB::Exception: "))[0]
    return f"{error.code}: {text}"[:DETAIL]
