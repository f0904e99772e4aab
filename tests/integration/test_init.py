"""`funnel init`: topics as the settings say, and refusals where they do not fit together."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient

from deploy.embedded.broker import LocalBroker
from deploy.embedded.ports import free_port
from deploy.settings import read_settings
from deploy.topics import create_topics
from schemas.topics import TOPICS
from streams.broker import KafkaAway, TopicsError, describe_cluster
from tests.support import MakeBroker, started


@pytest.fixture
def broker(tmp_path: Path, make_broker: MakeBroker) -> Iterator[LocalBroker]:
    with started(make_broker(tmp_path)) as broker:
        yield broker


def values(bootstrap: str, **more: str) -> dict[str, Any]:
    return read_settings({"FUNNEL_KAFKA": bootstrap, **more})


def test_topics_are_made_once_with_the_partitions_asked_for(broker: LocalBroker) -> None:
    assert create_topics(values(broker.bootstrap, FUNNEL_PARTITIONS="3")) == 3
    assert describe_cluster(broker.bootstrap, TOPICS).partitions == dict.fromkeys(TOPICS, 3)
    # Existing topics stay as they are, whatever the setting says by now.
    assert create_topics(values(broker.bootstrap, FUNNEL_PARTITIONS="5")) == 3


def test_missing_topics_are_added_to_those_that_exist(broker: LocalBroker) -> None:
    make(broker, {TOPICS[0]: 2})
    assert create_topics(values(broker.bootstrap, FUNNEL_PARTITIONS="2")) == 2


def test_unequal_partitions_are_refused_by_name(broker: LocalBroker) -> None:
    make(broker, {"clicks": 3})
    with pytest.raises(TopicsError, match="clicks: 3") as caught:
        create_topics(values(broker.bootstrap, FUNNEL_PARTITIONS="2"))
    assert caught.value.partitions["leads"] == 2


def test_a_broker_that_is_away_is_named() -> None:
    bootstrap = f"127.0.0.1:{free_port()}"
    with pytest.raises(KafkaAway, match=bootstrap):
        describe_cluster(bootstrap, TOPICS, seconds=0.5)


def make(broker: LocalBroker, topics: dict[str, int]) -> None:
    admin = KafkaAdminClient(bootstrap_servers=[broker.bootstrap])
    try:
        admin.create_topics(
            {name: {"num_partitions": count, "replication_factor": 1} for name, count in topics.items()}
        )
    finally:
        admin.close()
