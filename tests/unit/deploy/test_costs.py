"""The file of costs: what is taken, and what is refused by its line."""

import datetime

import pytest

from deploy.costs import Cost, CostError, read_costs

HEAD = "day,campaign,currency,amount\n"


def read(text: str) -> list[Cost]:
    return read_costs(text.splitlines(keepends=True))


def test_costs_are_read_whatever_the_order_of_the_columns() -> None:
    text = 'Amount, campaign,currency,day\n12.34,"spring, ""big""",EUR,2026-01-31\n\n0,,USD,2026-02-01\n'
    assert read(text) == [
        Cost(datetime.date(2026, 1, 31), 'spring, "big"', "EUR", 12_340_000),
        Cost(datetime.date(2026, 2, 1), "", "USD", 0),
    ]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "must name the columns"),
        ("day,campaign,amount\n", 1, "must name the columns"),
        (HEAD + "2026-01-31,a,EUR\n", 2, "has 3 fields"),
        (HEAD + "31.01.2026,a,EUR,1\n", 2, "day"),
        (HEAD + "1969-01-31,a,EUR,1\n", 2, "from 1971"),
        (HEAD + "2026-01-31,a,eur,1\n", 2, "currency"),
        (HEAD + "2026-01-31,a,EUR,-1\n", 2, "amount"),
        (HEAD + "2026-01-31,a,EUR,1.2345678\n", 2, "amount"),
        (HEAD + "2026-01-31,a,EUR,1e3\n", 2, "amount"),
        (HEAD + "2026-01-31,a,EUR,1\n2026-01-31,a,USD,1\n2026-01-31,a,EUR,2\n", 4, "of line 2"),
        (HEAD + f"2026-01-31,{'a' * 201},EUR,1\n", 2, "campaign"),
    ],
)
def test_what_is_wrong_is_refused_by_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(CostError, match=problem) as failure:
        read(text)
    assert failure.value.line == line
