"""The state of the page as it comes in a URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.filters import DAY, DIMENSIONS, HOUR, MINUTE, FilterError, parse
from dashboard.queries import partners, series, tops

NOW = 1_760_000_000
"""2025-10-09 08:53:20 UTC."""


def test_without_anything_it_is_the_last_week_by_hours_without_bots() -> None:
    filters = parse({}, NOW)
    assert (filters.end - NOW, filters.step, filters.table, filters.bots) == (40, HOUR, "rollup_hour", False)
    assert 7 * DAY <= filters.end - filters.start < 7 * DAY + HOUR
    assert filters.start % HOUR == 0


@pytest.mark.parametrize(
    ("values", "step", "table"),
    [
        ({"range": "1h"}, MINUTE, "rollup_minute"),
        ({"range": "24h"}, HOUR, "rollup_hour"),
        ({"range": "30d"}, DAY, "rollup_day"),
        ({"range": "30d", "tz": "Europe/Berlin"}, DAY, "rollup_hour"),
        ({"range": "30d", "tz": "Asia/Kolkata"}, DAY, "rollup_minute"),
        # London has UTC's midnight in winter only.
        ({"from": "2025-10-01", "to": "2025-11-30", "tz": "Europe/London"}, DAY, "rollup_hour"),
        ({"from": "2025-12-01", "to": "2025-12-31", "tz": "Europe/London"}, DAY, "rollup_day"),
    ],
)
def test_the_rollup_is_one_whose_buckets_no_point_cuts(values: dict[str, str], step: int, table: str) -> None:
    filters = parse(values, NOW)
    assert (filters.step, filters.table) == (step, table)


def test_days_are_those_of_the_zone() -> None:
    """Berlin's 26 October 2025 has 25 hours."""
    filters = parse({"from": "2025-10-26", "to": "2025-10-26", "tz": "Europe/Berlin"}, NOW)
    assert filters.end - filters.start == 25 * HOUR


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"range": "2y"}, "range"),
        ({"from": "2025-10-09"}, "to"),
        ({"from": "2025-10-09", "to": "2025-10-08"}, "to"),
        ({"from": "2020-01-01", "to": "2025-10-08"}, "to"),
        ({"tz": "Mars/Olympus"}, "tz"),
        ({"tz": "../../etc/passwd"}, "tz"),
        ({"bots": "yes"}, "bots"),
        ({"currency": "eur"}, "currency"),
        ({"top": "bot"}, "top"),
        ({"metric": "clicks; DROP"}, "metric"),
        ({"campaign": "x" * 201}, "campaign"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_no_filter_is_refused_by_name(values: dict[str, str], field: str) -> None:
    with pytest.raises(FilterError) as failure:
        parse(values, NOW)
    assert failure.value.field == field


@given(st.sampled_from(DIMENSIONS), st.text(min_size=1, max_size=50).filter(lambda text: "\0" not in text))
def test_values_go_into_parameters_and_never_into_the_text(name: str, value: str) -> None:
    filters = parse({name: value, "model": "m", "currency": "EUR"}, NOW)
    other = parse({name: "other", "model": "n", "currency": "USD"}, NOW)
    for question in (series, tops, partners):
        assert question(filters).sql == question(other).sql
        assert question(filters).parameters[name] == value


def test_how_much_is_shown_by_second() -> None:
    assert (parse({}, NOW).recent, parse({"recent": "60"}, NOW).recent) == (5, 60)
    with pytest.raises(FilterError, match="recent"):
        parse({"recent": "100000"}, NOW)
