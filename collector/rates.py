"""Rate limits: per key, so many requests a second and some more at once."""

from collections import OrderedDict


class Rates:
    """A leaky bucket per key (the generic cell rate algorithm, ITU-T I.371): one number each, and the longest unseen keys are forgotten.

    ``per_second`` 0: no limit. ``burst``: seconds' worth of requests that may come at once.
    """

    def __init__(self, per_second: float, burst_seconds: float = 5.0, most_keys: int = 100_000) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._burst = burst_seconds
        self._most = most_keys
        self._due: OrderedDict[str, float] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        """Count a request of ``key`` at ``now`` (seconds) and return 0; or, where it is too many, return the seconds until one may come."""
        if not self._interval:
            return 0.0
        due = max(self._due.get(key, now), now)
        if due - now > self._burst:
            return due - now - self._burst
        self._due[key] = due + self._interval
        self._due.move_to_end(key)
        if len(self._due) > self._most:
            self._due.popitem(last=False)
        return 0.0
