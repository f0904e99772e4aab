"""What a worker refuses to own."""

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from schemas.metrics import WorkerMetrics
from schemas.topics import CLICKS, TOPICS
from streams.assignment import Assignments
from streams.broker import Cluster
from streams.errors import SplitError
from streams.settings import WorkerSettings

CLUSTER = Cluster("c", dict.fromkeys(TOPICS, 3), dict.fromkeys(TOPICS, "id"))


def test_partitions_without_their_counterparts_are_refused() -> None:
    """Refused before anything is written: whoever owns the others goes on."""
    untouched: Any = None
    metrics = WorkerMetrics.create(CollectorRegistry())
    one = Assignments(WorkerSettings(""), untouched, untouched, [], untouched, lambda: CLUSTER, metrics)
    lines = {(topic, 1): (0, 0) for topic in TOPICS if topic != CLICKS} | {(CLICKS, 2): (0, 0)}
    with pytest.raises(SplitError, match=r"clicks/2, .*: not the same partitions of every topic"):
        one.take(lines)
