"""A whole stack per test; gone afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import MakeBroker, Running


@pytest.fixture
def running(tmp_path: Path, make_broker: MakeBroker) -> Iterator[Running]:
    """Broker and ClickHouse with topics and tables; no collector: records go straight into Kafka."""
    one = Running(tmp_path / "stack", make_broker)
    try:
        one.start()
        yield one
    finally:
        one.stack.stop()
