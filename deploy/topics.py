"""Creating the co-partitioned topics with kafka-python's admin client."""

from collections.abc import Mapping
from typing import Any

from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import TopicAlreadyExistsError

from schemas.topics import TOPICS
from streams.broker import describe_cluster


def create_topics(values: Mapping[str, Any]) -> int:
    """Create the topics that are missing and return the number of partitions they all have.

    Raises TopicsError where existing topics are not co-partitioned.
    """
    admin = KafkaAdminClient(bootstrap_servers=values["kafka"].split(","), client_id="funnel-init")
    try:
        missing = [name for name in TOPICS if name not in set(admin.list_topics())]
        for name in missing:
            _create(admin, name, values)
    finally:
        admin.close()
    return describe_cluster(values["kafka"], TOPICS).partitions[TOPICS[0]]


def _create(admin: KafkaAdminClient, name: str, values: Mapping[str, Any]) -> None:
    config = {
        "retention.ms": str(values["retention_hours"] * 3_600_000),
        "min.insync.replicas": str(values["min_insync_replicas"]),
        "cleanup.policy": "delete",
    }
    try:
        admin.create_topics(
            [NewTopic(name, values["partitions"], values["replication"], topic_configs=config)]
        )
    except TopicAlreadyExistsError:
        # Somebody else's init was faster; whether the topics fit together is checked afterwards.
        pass
