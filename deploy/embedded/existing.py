"""A Kafka that runs already, lent to one stack after the other: each finds no topics of ours and leaves none."""

import time
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from schemas.topics import TOPICS

SECONDS = 30.0


class TopicsInTheWay(Exception):
    """The cluster holds topics of funnel's names: they may be somebody's data."""

    def __init__(self, bootstrap: str, topics: list[str]) -> None:
        super().__init__(
            f"the Kafka at {bootstrap} has topics of ours already, and whose they are is not known here: {', '.join(topics)}"
        )


class ExistingKafka:
    """A cluster that somebody else started, with the interface of a broker: `start` finds it clean, `stop` leaves it clean."""

    pid: int | None = None
    cluster_id = ""

    def __init__(self, bootstrap: str, log: Path) -> None:
        self.bootstrap = bootstrap
        self.log = log

    def start(self) -> None:
        """Look at the cluster. Raises TopicsInTheWay, KafkaException where nothing answers."""
        metadata = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=SECONDS)
        taken = sorted(metadata.topics.keys() & set(TOPICS))
        if taken:
            raise TopicsInTheWay(self.bootstrap, taken)
        self.cluster_id = str(metadata.cluster_id)

    def stop(self) -> None:
        """Delete the topics that were made, and the groups that read them. Raises KafkaException."""
        if not self.cluster_id:
            return
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        made = sorted(admin.list_topics(timeout=SECONDS).topics.keys() & set(TOPICS))
        if made:
            for deleted in admin.delete_topics(made, operation_timeout=SECONDS).values():
                deleted.result(SECONDS)
        _await_gone(admin)
        groups = [group.group_id for group in admin.list_consumer_groups().result(SECONDS).valid]
        for name in (name for name in groups if name.startswith("funnel")):
            try:
                admin.delete_consumer_groups([name])[name].result(SECONDS)
            except KafkaException:
                # A member that was killed is counted until its session ends. What a group committed decides nothing.
                pass

    def kill(self) -> None:
        """It is not ours to end."""
        raise AssertionError("who kills a broker needs one of their own")


def _await_gone(admin: AdminClient) -> None:
    deadline = time.monotonic() + SECONDS
    while admin.list_topics(timeout=SECONDS).topics.keys() & set(TOPICS):
        if time.monotonic() > deadline:
            raise TimeoutError("the topics were not deleted in time")
        time.sleep(0.05)
