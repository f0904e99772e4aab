"""Aligned intake, slack 10, hold 100:

clicks       ....20 (behind, first buffered at 20)
conversions  ........35 (waits: 35 > 20 + 10)
"""

from streams.intake import NO_LIMIT, Alignment, Head, Holds, takeable

ALIGNMENT = Alignment(slack_ms=10, hold_ms=100)


def test_what_is_older_goes_first_and_what_ran_ahead_waits() -> None:
    heads = {"clicks": Head(20, 0, True), "conversions": Head(35, 0, True), "leads": Head(30, 0, True)}
    assert takeable(heads, ALIGNMENT, Holds(), 0) == {"clicks": 40, "leads": 30}


def test_a_partition_at_its_high_watermark_never_holds_others_back() -> None:
    heads = {"clicks": Head(None, 5, False), "conversions": Head(500, 0, True)}
    assert takeable(heads, ALIGNMENT, Holds(), 0) == {"conversions": NO_LIMIT}


def test_a_partition_that_is_behind_holds_others_back_while_its_fetch_is_under_way() -> None:
    heads = {"clicks": Head(None, 5, True), "conversions": Head(500, 0, True)}
    assert takeable(heads, ALIGNMENT, Holds(), 0) == {}


def test_holding_has_a_time_limit() -> None:
    heads = {"clicks": Head(None, 5, True), "conversions": Head(500, 0, True)}
    holds = Holds()
    assert takeable(heads, ALIGNMENT, holds, 1000) == {}
    assert takeable(heads, ALIGNMENT, holds, 1099) == {}
    assert takeable(heads, ALIGNMENT, holds, 1100) == {"conversions": 510}
    assert takeable(heads, ALIGNMENT, holds, 1101) == {}
