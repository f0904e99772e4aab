"""A whole stack per test, on free ports, in a directory of its own; gone afterwards."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.embedded.stack import Stack
from deploy.initialise import initialise
from deploy.settings import PREFIX, read_settings

ROOT = Path(__file__).parents[2]


class Running:
    """A stack without collector: records go straight into Kafka. ``values`` are its settings."""

    def __init__(self, directory: Path) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        tuned = {"FUNNEL_PARTITIONS": "3", "FUNNEL_FLUSH_MS": "100", "PYTHONPATH": str(ROOT)}
        self.stack = Stack(directory, {**environ, **tuned})
        self.values: dict[str, Any] = {}

    def start(self) -> None:
        self.stack.start_servers()
        self.values = read_settings(self.stack.settings())
        list(initialise(self.values))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Broker and ClickHouse with topics and tables."""
    one = Running(tmp_path / "stack")
    try:
        one.start()
        yield one
    finally:
        one.stack.stop()
