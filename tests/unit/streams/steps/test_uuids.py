"""Which texts spell a UUID, and which one."""

import re
import uuid

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.steps.uuids import parse_uuids

PATTERN = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII)
GOOD = "0123abCD-4567-89ef-CDEF-0123456789ab"

near_misses = st.builds(
    lambda text, place, other: text[:place] + other + text[place + 1 :],
    st.uuids().map(str),
    st.integers(0, 35),
    st.sampled_from(["-", "g", "G", "/", ":", "@", "`", "é", "", "00", " "]),
)


@given(
    st.lists(
        st.one_of(
            st.uuids().map(str), st.uuids().map(lambda u: str(u).upper()), near_misses, st.text(max_size=40)
        )
    )
)
def test_agrees_with_the_pattern(texts: list[str]) -> None:
    parsed = parse_uuids(pl.Series(texts, dtype=pl.String))
    for text, valid, high, low in zip(texts, *(part.tolist() for part in parsed), strict=True):
        assert valid == (PATTERN.fullmatch(text) is not None)
        assert (high << 64 | low) == (uuid.UUID(text).int if valid else 0)


@pytest.mark.parametrize(
    "text", [GOOD + "\n", GOOD[:-1], "{" + GOOD[1:], GOOD.replace("-", ""), GOOD.replace("-", "0")]
)
def test_other_spellings_are_none(text: str) -> None:
    assert parse_uuids(pl.Series([text])).valid.tolist() == [False]


def test_case_does_not_matter() -> None:
    parsed = parse_uuids(pl.Series([GOOD.lower(), GOOD.upper()]))
    assert parsed.high[0] == parsed.high[1] == 0x0123ABCD456789EF
    assert parsed.low[0] == parsed.low[1] == 0xCDEF0123456789AB
