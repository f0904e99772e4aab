"""Sending through the third party's producer, a process in its own environment."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from schemas.topics import EVENT_TOPICS, KIND_OF_TOPIC

SCRIPT = Path(__file__).with_name("third_party") / "producer.py"
SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
SECONDS = 120.0
LOOPBACK = "127.0.0.1"


class Event(NamedTuple):
    """One record as its sender knows it. ``key`` is the sender's own choice; None: it has none."""

    topic: str
    key: str | None
    record: dict[str, Any]


class Receipt(NamedTuple):
    """Where the broker has an event, and the schema id that was before its body."""

    partition: int
    offset: int
    schema_id: int


class RefusedError(Exception):
    """The producer gave up. Its message is what it wrote to stderr."""


def published_schemas() -> dict[str, str]:
    """Return the schema of each topic, as everybody can read it in schemas/."""
    return {
        topic: (SCHEMAS / f"{KIND_OF_TOPIC[topic]}.avsc").read_text(encoding="utf-8")
        for topic in EVENT_TOPICS
    }


class Sender(NamedTuple):
    """Whom the third party knows: its own ``python``, a broker, a registry."""

    python: Path
    bootstrap: str
    registry: str

    def send(
        self,
        events: Sequence[Event],
        schemas: dict[str, str] | None = None,
        serializer: dict[str, Any] | None = None,
    ) -> list[Receipt]:
        """Send ``events``; return a receipt for each. ``serializer`` configures theirs. Raises RefusedError."""
        job = {
            "bootstrap": self.bootstrap,
            "registry": self.registry,
            "serializer": serializer or {},
            "schemas": schemas or published_schemas(),
            "events": [event._asdict() for event in events],
        }
        return [Receipt(**receipt) for receipt in json.loads(self._run(json.dumps(job)))]

    def _run(self, job: str) -> str:
        # -I: no variable and no working directory of ours leads it to our modules.
        command = [str(self.python), "-I", str(SCRIPT)]
        # A machine's proxy is for the world outside; the registry is not there.
        environ = {**os.environ, "no_proxy": LOOPBACK, "NO_PROXY": LOOPBACK}
        done = subprocess.run(
            command, input=job, env=environ, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode != 0:
            raise RefusedError(done.stderr)
        return done.stdout
