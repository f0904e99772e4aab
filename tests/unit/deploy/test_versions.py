"""One version of Kafka, wherever it is named."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_tests_run_the_kafka_that_compose_runs() -> None:
    [composed] = re.findall(r"image: apache/kafka:([0-9.]+)", (ROOT / "docker-compose.yml").read_text())
    [tested] = re.findall(
        r"<artifactId>kafka_2\.13</artifactId>.*?<version>([0-9.]+)</version>",
        (ROOT / "tests/apache/pom.xml").read_text(),
        re.DOTALL,
    )
    assert tested == composed
