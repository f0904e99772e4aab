"""What the probes answer. Nothing outside of the process makes a worker look dead."""

import threading
from collections.abc import Iterator

import pytest

from streams.health import LOOP_SECONDS, NEVER, Health

NOW = 1000.0


@pytest.fixture
def thread() -> Iterator[threading.Thread]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="derive minute")
    thread.start()
    yield thread
    end.set()
    thread.join()


def working(thread: threading.Thread, *, owns: bool = True, answered: float = NOW) -> Health:
    return Health(15.0, [thread], lambda: owns, lambda: answered, beat=NOW, heard=NOW, is_member=True)


def test_one_that_works_is_both(thread: threading.Thread) -> None:
    health = working(thread)
    assert health.not_alive(NOW) == health.not_ready(NOW) == []


def test_one_that_starts_is_alive_but_not_ready() -> None:
    health = Health(15.0)
    assert health.not_alive(NOW) == []
    assert health.not_ready(NOW) == ["owns no partitions, and is not in standby", "no answer from Kafka"]


def test_standby_is_ready_without_clickhouse(thread: threading.Thread) -> None:
    health = working(thread, owns=False, answered=NEVER)
    assert health.not_ready(NOW) == []
    health.is_member = False
    assert health.not_ready(NOW) == ["owns no partitions, and is not in standby"]


def test_silence_of_others_is_no_death(thread: threading.Thread) -> None:
    health = working(thread, answered=NOW - 15.1)
    health.heard = NOW - 15.1
    assert health.not_ready(NOW) == ["no answer from Kafka", "no answer from ClickHouse"]
    assert health.not_alive(NOW) == []


def test_an_event_loop_that_hangs_is_dead(thread: threading.Thread) -> None:
    health = working(thread)
    health.beat = NOW - LOOP_SECONDS - 1
    assert health.not_alive(NOW) == ["the event loop has hung for 31 s"]
    assert health.not_alive(NOW)[0] in health.not_ready(NOW)


def test_a_thread_that_has_ended_is_dead() -> None:
    gone = threading.Thread(target=lambda: None, name="watchdog")
    gone.start()
    gone.join()
    assert working(gone).not_alive(NOW) == ["thread watchdog has ended"]
