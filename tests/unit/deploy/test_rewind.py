"""What `funnel rewind --to` takes."""

from datetime import UTC, datetime

import pytest

from deploy.offline import OfflineError
from deploy.rewind import Place, rows_in_words, target

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TEN = 1_795_428_000_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T10:00Z", TEN),
        ("2026-11-23T11:00+01:00", TEN),
        ("2026-11-23 10:00:00.250Z", TEN + 250),
        ("clicks/0/1234", Place(("clicks", 0), 1234)),
        ("credit-requests/11/0", Place(("credit-requests", 11), 0)),
    ],
)
def test_a_time_or_a_record(text: str, expected: object) -> None:
    assert target(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "neither a time"),
        ("", "neither a time"),
        ("shoes/0/1", "neither a time"),
        ("clicks/0/-1", "neither a time"),
        ("clicks/0", "neither a time"),
        ("2026-11-23T10:00", "in which time zone"),
        ("2026-11-23T12:00:01Z", "is in the future"),
    ],
)
def test_nonsense_is_refused(text: str, said: str) -> None:
    with pytest.raises(OfflineError, match=said):
        target(text, NOW)


def test_rows_in_words() -> None:
    assert rows_in_words({"flush": 2, "click": 1_500}) == "1,500 click, 2 flush"
    assert rows_in_words({}) == "nothing"
