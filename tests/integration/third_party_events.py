"""Events as a third party sends them, and how they are to be read back."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from schemas.ids import route_of, transaction_route
from schemas.partitioning import partition_for
from schemas.topics import CLICKS, CONVERSIONS, IMPRESSIONS, LEADS
from tests.integration.third_party_sender import Event, Receipt
from tests.support import PARTITIONS

PARTNER = "shop"
VALUE, PAYOUT = 59_900_000, 4_500_000
WHOLE = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


def journey(number: int, now: int) -> list[Event]:
    """Return an impression, a click, a lead and a conversion at ``now`` (ms UTC). All ids are the sender's own."""
    visitor, click, lead = f"crm-{number}", f"network-{number}", f"form-{number}"
    bodies: dict[str, dict[str, Any]] = {
        IMPRESSIONS: {"user_agent": "Mozilla/5.0", "utm_source": "google"},
        CLICKS: {"click_id": click, "sub1": "Größe 42 €"},
        LEADS: {"click_id": click, "lead_id": lead, "form": "newsletter"},
        CONVERSIONS: {"click_id": click, **sale(f"T-{number}", now), "payout": PAYOUT},
    }
    events = []
    for place, (topic, body) in enumerate(bodies.items()):
        record = {
            "event_id": str(uuid4()),
            "occurred_at": now - 60_000 * (10 - place),
            "received_at": now,
            "visitor_id": visitor,
            "campaign": f"spring-{number % 3}",
            "affiliate": "a17",
            **body,
        }
        events.append(Event(topic, key_of(number, record), record))
    return events


def key_of(number: int, record: dict[str, Any]) -> str | None:
    """Return a key as a sender may choose it: by the visitor or the transaction. Every fifth journey has none."""
    return None if number % 5 == 0 else str(record.get("transaction_id", record["visitor_id"]))


def sale(name: str, now: int) -> dict[str, Any]:
    """Return the fields that only a conversion has, without ``payout``: null is left to the serializer."""
    amount = {"value": VALUE, "currency": "EUR"}
    return {"partner": PARTNER, "transaction_id": name, "status": "approved", "status_at": now, **amount}


def as_read(record: dict[str, Any]) -> Row:
    """Return ``record`` as the driver shows it: times and ids have types of their own there."""
    times = {
        name: EPOCH + timedelta(milliseconds=value) for name, value in record.items() if name.endswith("_at")
    }
    return {**record, **times, "event_id": UUID(record["event_id"])}


def _route(event: Event) -> str:
    """Return the route of ``event``: its visitor's, or that of its transaction."""
    record = event.record
    if event.topic == CONVERSIONS:
        return transaction_route(record["partner"], record["transaction_id"])
    return route_of(record["visitor_id"])


def home(event: Event) -> int:
    """Return the partition that ``event`` belongs in."""
    return partition_for(_route(event).encode(), PARTITIONS)


def place(event: Event, receipt: Receipt) -> tuple[str, int]:
    """Return where ``event`` is in Kafka: topic and partition, offset."""
    return f"{event.topic}/{receipt.partition}", receipt.offset


def after_cluster(source: str) -> str:
    """Return topic and partition of a journal's source, ``cluster/topic/partition``."""
    return "/".join(source.split("/")[-2:])


def credit(transaction: str, click: dict[str, Any], payout: int) -> Row:
    """Return the one row of credit for a transaction that ``click`` alone has earned."""
    return {
        "transaction_id": transaction,
        "touch_id": UUID(click["event_id"]),
        "campaign": click["campaign"],
        "weight": WHOLE,
        "value": VALUE,
        "payout": payout,
    }
