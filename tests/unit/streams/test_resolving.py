"""Ids are asked for once, remembered within bounds, and waited for."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.framing import reframed
from schemas.metrics import WorkerMetrics
from schemas.registry import latest_schema
from schemas.remote import Found, RegistryAway
from schemas.topics import CLICKS, IMPRESSIONS
from streams import resolving
from streams.errors import OwnershipLost
from streams.patience import patiently
from streams.resolving import Resolver
from tests.unit.streams.steps.records import batch, encoded

FOUND = Found(latest_schema(CLICKS).parsed, frozenset({CLICKS}))


class Answers:
    """A registry that gives these answers; an exception is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers: Iterator[Any] = iter(answers)
        self.asked: list[int] = []

    def find(self, schema_id: int) -> Found | None:
        self.asked.append(schema_id)
        answer = next(self.answers)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]


def resolver(registry: Answers, give_up: threading.Event | None = None) -> Resolver:
    metrics = WorkerMetrics.create(CollectorRegistry())
    patience = patiently(RegistryAway, "schemas", give_up or threading.Event(), metrics)
    return Resolver(registry, {}, patience)  # type: ignore[arg-type]


def clicks(*ids: int) -> list[bytes | None]:
    return [reframed(number, encoded(CLICKS)) for number in ids]


def test_an_id_is_asked_for_once_known_or_not() -> None:
    registry = Answers(FOUND, None)
    known = resolver(registry)
    for _ in range(2):
        given = known.given(batch(CLICKS, [*clicks(7, 7, 8), None, b"x"]))
        assert given.ours == {7}
    assert sorted(registry.asked) == [7, 8]


def test_another_topics_schema_is_none_of_this_one() -> None:
    assert not resolver(Answers(FOUND)).given(batch(IMPRESSIONS, clicks(7))).ours


def test_one_that_is_away_is_waited_for() -> None:
    registry = Answers(RegistryAway("id", "gone"), FOUND)
    assert resolver(registry).given(batch(CLICKS, clicks(7))).ours == {7}
    assert registry.asked == [7, 7]


def test_a_stop_ends_the_waiting() -> None:
    give_up = threading.Event()
    give_up.set()
    with pytest.raises(OwnershipLost):
        resolver(Answers(RegistryAway("id", "gone")), give_up).given(batch(CLICKS, clicks(7)))


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "MOST_IDS", 2)
    monkeypatch.setattr(resolving, "MOST_COMBINATIONS", 1)
    registry = Answers(*[FOUND] * 9)
    known = resolver(registry)
    for number in (1, 2, 3, 2, 1):
        assert known.given(batch(CLICKS, clicks(number))).ours == {number}
    assert registry.asked == [1, 2, 3, 1]
