"""Whether a worker lives, and whether it works: what its probes answer.

Alive is what only a restart could mend, so it depends on nothing outside of the process. Ready is that records get through it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import Thread

LOOP_SECONDS = 30.0
"""Without a beat for so long, the event loop hangs."""
NEVER = float("-inf")


@dataclass(slots=True)
class Health:
    """Signs of life, set by the parts of a worker and read by any thread. Times are monotonic seconds.

    ``ready_seconds``: how old the newest answer of Kafka or ClickHouse may be. ``owns`` tells whether the worker owns partitions, restored;
    ``answered`` when ClickHouse last did.
    """

    ready_seconds: float
    threads: Sequence[Thread] = ()
    owns: Callable[[], bool] = field(default=lambda: False)
    answered: Callable[[], float] = field(default=lambda: NEVER)
    beat: float | None = None
    heard: float = NEVER
    """When Kafka last answered: with records or none, or as the coordinator of a group in which nothing is left for this worker."""
    is_member: bool = False

    def not_alive(self, now: float) -> list[str]:
        """Return what is wrong with the process at ``now``, nothing while it starts."""
        wrong = [f"thread {thread.name} has ended" for thread in self.threads if not thread.is_alive()]
        if self.beat is not None and now - self.beat > LOOP_SECONDS:
            wrong.append(f"the event loop has hung for {now - self.beat:.0f} s")
        return wrong

    def not_ready(self, now: float) -> list[str]:
        """Return what keeps records from getting through at ``now``."""
        wrong = self.not_alive(now)
        if not self.owns() and not self.is_member:
            wrong.append("owns no partitions, and is not in standby")
        if now - self.heard > self.ready_seconds:
            wrong.append("no answer from Kafka")
        if self.owns() and now - self.answered() > self.ready_seconds:
            wrong.append("no answer from ClickHouse")
        return wrong
