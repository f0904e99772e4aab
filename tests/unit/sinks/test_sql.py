"""Literals and the errors that codes mean."""

import pytest

from sinks.clickhouse.errors import NotOwner, Refused, Unavailable, server_error
from sinks.clickhouse.owners import running_comment
from sinks.clickhouse.sql import containing, literal, literals


def test_literal() -> None:
    assert literal("it's a \\") == r"'it\'s a \\'"
    assert literals(["a", "b'"]) == r"('a', 'b\'')"


def test_containing_takes_nothing_for_a_wildcard() -> None:
    assert containing("100%_'\\") == r"'%100\\%\\_\'\\\\%'"


def test_a_comment_names_each_source_between_bars() -> None:
    comment = running_comment("flush", "g", ["c/clicks/1", "c/clicks/11"], 5)
    assert comment == "funnel flush group=g owner=5 sources=|c/clicks/1|c/clicks/11|"


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (469, "DB::Exception: Constraint `owner` for table journal is violated", NotOwner),
        (469, "DB::Exception: Constraint `other` for table journal is violated", Refused),
        (394, "DB::Exception: Query was cancelled", Unavailable),
        (252, "DB::Exception: Too many parts (3000)", Unavailable),
        (252, "DB::Exception: Too many partitions for single INSERT block (more than 1)", Refused),
        (243, "DB::Exception: Cannot reserve 1.00 MiB, not enough space", Unavailable),
        (1001, "std::exception. filesystem error: cannot rename: No space left on device", Unavailable),
        (60, "DB::Exception: Table does not exist. Stack trace:\n\n0. somewhere", Refused),
    ],
)
def test_server_error(code: int, text: str, kind: type[Exception]) -> None:
    error = server_error(code, text)
    assert type(error) is kind
    assert error.code == code
    assert "Stack trace" not in str(error)
