"""Telling threads that something has landed."""

import threading


class Landing:
    """Counts landings. Any thread may note one, any number may wait for the next."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def note(self) -> None:
        """Wake whoever waits."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait for the next landing, ``seconds`` at most; return whether it came."""
        with self._changed:
            count = self._count
            return self._changed.wait_for(lambda: self._count > count, seconds)
