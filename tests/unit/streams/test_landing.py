"""Waiting for a landing."""

import threading

from streams.landing import Landing


def test_without_one_the_wait_ends_by_itself() -> None:
    landing = Landing()
    landing.note()
    assert not landing.wait(0.01)


def test_every_waiting_thread_is_woken() -> None:
    landing, came = Landing(), []
    threads = [threading.Thread(target=lambda: came.append(landing.wait(60))) for _ in range(2)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        # One that had not begun to wait is woken by a later one.
        landing.note()
        threads[0].join(0.01)
        threads[1].join(0.01)
    assert came == [True, True]
