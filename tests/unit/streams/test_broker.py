"""Asking a broker that has just started."""

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, TopicPartition

from streams.broker import KafkaAway, LogEnds


class Starting:
    """A broker's client: refuses with ``code`` so many times, then knows."""

    def __init__(self, code: int, refusals: int) -> None:
        self.code, self.refusals, self.closed = code, refusals, False

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        if self.refusals:
            self.refusals -= 1
            raise confluent_kafka.KafkaException(KafkaError(self.code))
        return 3, 9

    def close(self) -> None:
        self.closed = True


def ends_over(client: Starting, monkeypatch: pytest.MonkeyPatch, seconds: float) -> LogEnds:
    monkeypatch.setattr(confluent_kafka, "Consumer", lambda _settings: client)
    return LogEnds("nowhere:1", [("clicks", 0)], seconds)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError._TRANSPORT,
    ],
)
def test_a_broker_that_has_just_started_is_asked_again(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = ends_over(Starting(code, 2), monkeypatch, 60.0)
    assert ends._starts == {("clicks", 0): 3}


@pytest.mark.parametrize(
    ("code", "seconds"),
    [(KafkaError.NOT_LEADER_FOR_PARTITION, 0.0), (KafkaError.UNKNOWN_TOPIC_OR_PART, 60.0)],
)
def test_one_that_does_not_answer_is_said_to_be_away(
    code: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Starting(code, 1_000)
    with pytest.raises(KafkaAway, match="Kafka at nowhere:1 failed"):
        ends_over(client, monkeypatch, seconds)
    assert client.closed
