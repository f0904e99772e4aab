"""Workers that come and go: every one of them a rebalance, in the middle of the one before."""

import threading

from tests.faults.harness.world import World

NAME = "visitor"


class RebalanceStorm:
    """A second worker joins, is ended again after a moment, gently or not, and so on."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, world: World, share: float) -> None:
        self._thread = threading.Thread(
            target=self._come_and_go, args=(world, 2.0 + 3.0 * share), daemon=True
        )
        self._thread.start()

    def heal(self, world: World) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()
        world.running.stack.processes.pop(NAME, None)

    def _come_and_go(self, world: World, seconds: float) -> None:
        gently = False
        while not self._over.is_set():
            child = world.start_worker(NAME).child
            # Longer than a start takes, so that it joins.
            self._over.wait(seconds)
            _ = child.stop() if gently else child.kill()
            gently = not gently
