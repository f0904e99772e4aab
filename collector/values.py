"""Times and money as senders write them, turned into the integers that events carry. Exact, or refused."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal

from collector.errors import FieldError
from schemas.bounds import Bounds

EARLIEST = 946_684_800_000
STATUSES = ("pending", "approved", "rejected", "reversed")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_EXACT = Context(prec=64)
_PLAIN_DECIMAL = re.compile(r"-?\d{1,20}(\.\d{1,20})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(Z|[+-]\d\d:?\d\d)", re.ASCII)


def time_ms(field: str, value: object, received_at: int, bounds: Bounds) -> int:
    """Return a time as ms UTC: an integer is that already, a text is ISO 8601 with Z or an offset (finer
    parts are cut).

    Raises FieldError, also where the time is before 2000 or further after ``received_at`` than ``bounds`` allow.
    """
    if isinstance(value, str):
        milliseconds = _iso_ms(field, value)
    elif isinstance(value, int) and not isinstance(value, bool):
        milliseconds = value
    else:
        raise FieldError(field, "is neither ISO 8601 text nor an integer of milliseconds", "time")
    if not EARLIEST <= milliseconds <= received_at + bounds.ahead_ms:
        seconds = bounds.future_tolerance_seconds
        raise FieldError(field, f"is before 2000 or more than {seconds} seconds in the future", "time")
    return milliseconds


def _iso_ms(field: str, text: str) -> int:
    if _DATE_TIME.fullmatch(text) is None:
        raise FieldError(field, "is not ISO 8601 with date, time and Z or UTC offset", "time")
    try:
        return (datetime.fromisoformat(text) - _EPOCH) // _MILLISECOND
    except (ValueError, OverflowError) as error:
        raise FieldError(field, "is not a date that exists", "time") from error


def micros(field: str, value: object, bounds: Bounds) -> int:
    """Return an amount of currency units, a number or decimal text, as micros.

    Numbers must have been read as int or Decimal: a float is refused, it has lost its digits already. Raises
    FieldError.
    """
    if isinstance(value, str):
        if _PLAIN_DECIMAL.fullmatch(value) is None:
            raise FieldError(field, "is not a decimal number", "amount")
        value = Decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise FieldError(field, "is not a number", "amount")
    number = Decimal(value)
    if not number.is_finite() or not 0 <= number <= bounds.amount_limit:
        raise _out_of_bounds(field, bounds)
    if len(number.as_tuple().digits) > 40 or number != number.quantize(Decimal("0.000001"), context=_EXACT):
        raise FieldError(field, "has more than six decimals", "amount")
    return int(number.scaleb(6, context=_EXACT))


def whole_micros(field: str, value: object, bounds: Bounds) -> int:
    """Return an amount given in micros already. Raises FieldError unless it is an integer within ``bounds``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise FieldError(field, "is not an integer of micros", "amount")
    if not 0 <= value <= bounds.micros:
        raise _out_of_bounds(field, bounds)
    return value


def _out_of_bounds(field: str, bounds: Bounds) -> FieldError:
    return FieldError(field, f"is negative or above {bounds.amount_limit:,}", "amount")


def currency(value: str, *amounts: int | None) -> str:
    """Return the currency in upper case, empty if empty. Raises FieldError unless it is three letters, or
    where one of ``amounts`` (micros) needs it."""
    if value and _CURRENCY.fullmatch(value) is None:
        raise FieldError("currency", "is not three letters", "currency")
    if not value and any(amounts):
        raise FieldError("currency", "is missing beside an amount", "currency")
    return value.upper()


def status(value: str) -> str:
    """Return ``value`` if it is a status of a conversion. Raises FieldError."""
    if value not in STATUSES:
        raise FieldError("status", "is not one of pending, approved, rejected, reversed", "status")
    return value
