"""Times and money."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.errors import FieldError
from collector.values import EARLIEST, micros, time_ms, whole_micros
from schemas.bounds import DEFAULTS, Bounds
from tests.unit.collector.support import NOW


@given(st.integers(0, DEFAULTS.micros))
def test_every_amount_survives_being_written_in_units(amount: int) -> None:
    written = f"{amount // 10**6}.{amount % 10**6:06}"
    assert micros("value", written, DEFAULTS) == amount
    assert micros("value", Decimal(written), DEFAULTS) == amount


@given(st.decimals(allow_nan=True, allow_infinity=True))
def test_a_number_is_exact_or_refused(number: Decimal) -> None:
    try:
        found = micros("value", number, DEFAULTS)
    except FieldError:
        return
    assert Decimal(found) == number * 10**6
    assert 0 <= found <= DEFAULTS.micros


def test_a_float_has_lost_its_digits_and_is_refused() -> None:
    with pytest.raises(FieldError):
        micros("value", 0.1, DEFAULTS)


@given(st.integers(EARLIEST, NOW), st.integers(-14 * 60, 14 * 60))
def test_every_millisecond_survives_being_written_as_text(milliseconds: int, offset_minutes: int) -> None:
    zone = timezone(timedelta(minutes=offset_minutes))
    moment = datetime.fromtimestamp(milliseconds // 1000, UTC).astimezone(zone)
    written = (moment + timedelta(milliseconds=milliseconds % 1000)).isoformat(timespec="milliseconds")
    assert time_ms("occurred_at", written, NOW, DEFAULTS) == milliseconds
    assert time_ms("occurred_at", milliseconds, NOW, DEFAULTS) == milliseconds


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
    assert time_ms("occurred_at", text, NOW, DEFAULTS) == milliseconds


@given(st.text(max_size=40) | st.integers() | st.floats() | st.none() | st.booleans())
def test_a_time_is_within_bounds_or_refused(value: object) -> None:
    try:
        found = time_ms("occurred_at", value, NOW, DEFAULTS)
    except FieldError as error:
        assert error.field == "occurred_at"
    else:
        assert EARLIEST <= found <= NOW + 3_600_000


STRICT = Bounds(amount_limit=500, future_tolerance_seconds=60)


@pytest.mark.parametrize("written", ["500", 500, Decimal("5e2"), "500.000000", "0"])
def test_the_limit_itself_is_an_amount(written: object) -> None:
    assert micros("value", written, STRICT) in (0, 500_000_000)


@pytest.mark.parametrize("written", ["500.000001", 501, Decimal("1e999999"), "-0.01"])
def test_more_than_the_limit_is_refused_and_the_limit_named(written: object) -> None:
    with pytest.raises(FieldError, match="negative or above 500"):
        micros("value", written, STRICT)


def test_micros_have_the_same_limit() -> None:
    assert whole_micros("value_micros", 500_000_000, STRICT) == 500_000_000
    with pytest.raises(FieldError, match="negative or above 500"):
        whole_micros("value_micros", 500_000_001, STRICT)


def test_a_time_is_as_far_ahead_as_is_tolerated() -> None:
    assert time_ms("occurred_at", NOW + 60_000, NOW, STRICT) == NOW + 60_000
    with pytest.raises(FieldError, match="more than 60 seconds in the future"):
        time_ms("occurred_at", NOW + 60_001, NOW, STRICT)
