"""Creating the co-partitioned topics with kafka-python's admin client."""

from collections.abc import Mapping
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.topics import TOPICS
from streams.broker import KafkaAway, describe_cluster

PATIENCE_MS = 15_000


def create_topics(values: Mapping[str, Any]) -> int:
    """Create the topics that are missing and return the number of partitions they all have.

    Raises TopicsError where existing topics are not co-partitioned, KafkaAway.
    """
    try:
        _create_missing(values)
    except KafkaError as error:
        # The client's messages repeat whole requests; the beginning says what was wrong.
        raise KafkaAway(values["kafka"], str(error)[:300]) from error
    return describe_cluster(values["kafka"], TOPICS).partitions[TOPICS[0]]


def _create_missing(values: Mapping[str, Any]) -> None:
    admin = KafkaAdminClient(
        bootstrap_servers=values["kafka"].split(","),
        client_id="funnel-init",
        bootstrap_timeout_ms=PATIENCE_MS,
    )
    try:
        existing = set(admin.list_topics())
        for name in TOPICS:
            if name not in existing:
                _create(admin, name, _options(values))
    finally:
        admin.close()


def _options(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "num_partitions": values["partitions"],
        "replication_factor": values["replication"],
        "configs": {
            "retention.ms": str(values["retention_hours"] * 3_600_000),
            "min.insync.replicas": str(values["min_insync_replicas"]),
            "cleanup.policy": "delete",
        },
    }


def _create(admin: KafkaAdminClient, name: str, options: Mapping[str, Any]) -> None:
    try:
        admin.create_topics({name: options}, wait_for_metadata=True)
    except TopicAlreadyExistsError:
        # Somebody else's init was faster; whether the topics fit together is checked afterwards.
        pass
