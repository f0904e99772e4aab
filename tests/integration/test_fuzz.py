"""Requests that nobody should send, a few thousand of them: the benchmark sends more."""

from pathlib import Path

from benchmarks.fuzz import fuzz


def test_every_request_is_answered_and_accounted_for(tmp_path: Path) -> None:
    result = fuzz(tmp_path, 4000, seed=1)
    assert result["verified"], result
    assert {"200", "302", "400", "401", "404", "405", "413", "415"} <= result["answers"].keys()
    assert result["acknowledged"] > 500
