"""Times and money."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import FieldError
from collector.values import EARLIEST, HIGHEST_MICROS, micros, time_ms
from tests.unit.collector.support import NOW


@given(st.integers(0, HIGHEST_MICROS))
def test_every_amount_survives_being_written_in_units(amount: int) -> None:
    written = f"{amount // 10**6}.{amount % 10**6:06}"
    assert micros("value", written) == amount
    assert micros("value", Decimal(written)) == amount


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_a_number_is_exact_or_refused(number: Decimal) -> None:
    try:
        found = micros("value", number)
    except FieldError:
        return
    assert Decimal(found) == number * 10**6
    assert 0 <= found <= HIGHEST_MICROS


def test_a_float_has_lost_its_digits_and_is_refused() -> None:
    with pytest.raises(FieldError):
        micros("value", 0.1)


@given(st.integers(EARLIEST, NOW), st.integers(-14 * 60, 14 * 60))
def test_every_millisecond_survives_being_written_as_text(milliseconds: int, offset_minutes: int) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).astimezone(zone)
    written = (moment + timedelta(milliseconds=milliseconds % 1000)).isoformat(timespec="milliseconds")
    assert time_ms("occurred_at", written, NOW) == milliseconds
    assert time_ms("occurred_at", milliseconds, NOW) == milliseconds


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2025-12-31T23:00Z", NOW - 3_600_000),
        ("2026-01-01 01:00:00+01:00", NOW),
        ("2025-12-31T19:00:00-0500", NOW),
        ("2025-12-31T23:59:59.9999Z", NOW - 1),
        ("2025-12-31T23:59:59,5Z", NOW - 500),
    ],
)
def test_forms_of_iso_8601(text: str, milliseconds: int) -> None:
    assert time_ms("occurred_at", text, NOW) == milliseconds


@given(st.text(max_size=40) | st.integers() | st.floats() | st.none() | st.booleans())
def test_a_time_is_within_bounds_or_refused(value: object) -> None:
    try:
        found = time_ms("occurred_at", value, NOW)
    except FieldError as error:
        assert error.field == "occurred_at"
    else:
        assert EARLIEST <= found <= NOW + 3_600_000
