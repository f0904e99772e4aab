"""A histogram of durations for code that runs on one thread and observes often: no lock, no call per label.

``prometheus_client.Histogram`` takes two locks and walks its buckets per observation; on the way of a request that is a tenth
of what Python does for it. Scrapes give the same lines.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class Timing:
    """The durations under one label. One thread observes, any may read."""

    __slots__ = ("_buckets", "counts", "seconds")

    def __init__(self, buckets: Sequence[float]) -> None:
        self._buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.seconds = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(self._buckets, seconds)] += 1
        self.seconds += seconds


class Timings(Collector):
    """A Prometheus histogram in seconds, by at most one label. ``buckets``: upper bounds, ascending, without infinity."""

    def __init__(
        self,
        name: str,
        documentation: str,
        label: str = "",
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._documentation, self._labelnames = name, documentation, (label,) if label else ()
        self._buckets = tuple(buckets)
        self._timings: dict[str, Timing] = {} if label else {"": Timing(self._buckets)}
        registry.register(self)

    def labels(self, value: str = "") -> Timing:
        """Return the durations under ``value``: the one there is where the histogram has no label."""
        if value not in self._timings:
            self._timings[value] = Timing(self._buckets)
        return self._timings[value]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give what a scrape shows."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labelnames)
        for value, timing in list(self._timings.items()):
            label = [value] if self._labelnames else []
            family.add_metric(label, list(_cumulated(self._buckets, timing.counts)), timing.seconds)
        yield family


def _cumulated(buckets: Sequence[float], counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*buckets, math.inf), counts, strict=True):
        total += count
        yield "+Inf" if math.isinf(bound) else str(bound), float(total)
