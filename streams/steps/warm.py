"""Loading what the steps need before the first record comes.

The first use of a compiled kernel takes seconds on a new machine (afterwards it comes from Numba's cache on disk), and so do the patterns that
user agents are matched with. A worker that did this inside a consumer group would miss its heartbeats.
"""

import numpy as np

from schemas.encoding import encode
from schemas.ids import mint
from schemas.topics import CONVERSIONS, EVENT_TOPICS, TOPICS, TOUCH_TOPICS
from streams.steps.batch import RawBatch
from streams.steps.decode import decode
from streams.steps.enrich import Lookups, enrich
from streams.steps.route import partitions, routes, transaction_routes
from streams.steps.validate import EARLIEST_MS, validate

_UUID = "00000000-0000-4000-8000-000000000000"


def warm_up(lookups: Lookups) -> None:
    """Send one record of each topic through decode, validate, route and enrich. Nothing remains of it but what ``lookups`` remember."""
    for topic in TOPICS:
        frame, rejects = decode(_batch(topic))
        frame, broken = validate(topic, frame)
        assert frame.height == 1 and not rejects.height and not broken.height, f"{topic}: the record is valid"
        if topic in TOUCH_TOPICS:
            partitions(routes(frame["visitor_id"]), 1)
        if topic == CONVERSIONS:
            transaction_routes(frame["partner"], frame["transaction_id"])
        if topic in EVENT_TOPICS:
            enrich(frame, lookups)


def _batch(topic: str) -> RawBatch:
    visitor = mint()
    record = {
        **dict.fromkeys(("received_at", "occurred_at", "status_at"), EARLIEST_MS),
        **dict.fromkeys(("event_id", "request_id"), _UUID),
        **dict.fromkeys(("visitor_id", "click_id", "lead_id", "partner", "transaction_id"), visitor),
        **{
            "status": "pending",
            "verdict": "accepted",
            "purpose": "claim",
            "revision": 1,
            "route": visitor[:4],
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        },
        **{"referrer": "https://www.example.org/", "landing_url": "https://example.com/?gclid=1"},
    }
    here = np.zeros(1, dtype=np.int64)
    return RawBatch(topic, here.astype(np.int32), here, here + EARLIEST_MS, [encode(topic, record)], [None])
