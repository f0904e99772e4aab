"""What documents say of tests is true."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUARANTEES = ROOT / "docs" / "guarantees.md"


def named() -> set[tuple[str, str]]:
    """File and name of each test that the table of cases names; `::name` means the file before it in its row."""
    found = set()
    for line in GUARANTEES.read_text().splitlines():
        path = ""
        for one, name in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", line):
            path = one or path
            found.add((path, name))
    return found


def test_every_test_that_is_named_is_there() -> None:
    assert len(named()) > 30
    missing = [(path, name) for path, name in named() if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []
