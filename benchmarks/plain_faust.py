"""The yardstick of the pipeline benchmark: an ordinary Faust agent, one event at a time, with plain dicts.

Decodes (fastavro), deduplicates by event id, remembers each visitor's last click and credits conversions to it. No ClickHouse, no
rollup, no recovery. ``python -m benchmarks.plain_faust BOOTSTRAP EVENTS`` prints one JSON line with its own seconds, from the first
event to the last.
"""

import asyncio
import json
import os
import sys
import time
from typing import Any

import faust

from schemas.encoding import decode_body
from schemas.framing import schema_id_of
from schemas.registry import schema_by_id
from schemas.topics import EVENT_TOPICS


class Plain:
    """What the agent remembers."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.last_click: dict[str, dict[str, Any]] = {}
        self.visitor_of: dict[str, str] = {}
        self.counts = {"events": 0, "duplicates": 0, "credited": 0}
        self.first = 0.0

    def handle(self, value: bytes) -> None:
        self.first = self.first or time.perf_counter()
        self.counts["events"] += 1
        schema_id = schema_id_of(value)
        schema = None if schema_id is None else schema_by_id(schema_id)
        if schema is None:
            return
        try:
            event = decode_body(schema.id, value)
        except Exception:  # whatever a broken body makes fastavro raise: the yardstick skips it
            return
        if event["event_id"] in self.seen:
            self.counts["duplicates"] += 1
            return
        self.seen.add(event["event_id"])
        if schema.topic == "clicks":
            self.last_click[event["visitor_id"]] = event
            self.visitor_of[event["click_id"]] = event["visitor_id"]
        elif schema.topic == "conversions":
            visitor = self.visitor_of.get(event["click_id"], event["visitor_id"])
            self.counts["credited"] += visitor in self.last_click


async def consume(bootstrap: str, events: int) -> dict[str, Any]:
    """Consume ``events`` events and return the counts and seconds."""
    plain = Plain()
    done = asyncio.Event()
    app = faust.App(
        f"plain-{os.getpid()}",
        broker=f"kafka://{bootstrap}",
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.5,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
        store="memory://",
    )
    topic = app.topic(*EVENT_TOPICS, value_type=bytes)

    @app.agent(topic)
    async def intake(stream: Any) -> None:
        async for value in stream:
            plain.handle(value)
            if plain.counts["events"] >= events:
                done.set()

    async with app:
        await asyncio.wait_for(done.wait(), 600)
        seconds = time.perf_counter() - plain.first
    return {**plain.counts, "seconds": seconds}


def main() -> None:
    print(json.dumps(asyncio.run(consume(sys.argv[1], int(sys.argv[2])))), file=sys.__stdout__, flush=True)
    # Faust's threads may linger; the answer is out.
    os._exit(0)


if __name__ == "__main__":
    main()
