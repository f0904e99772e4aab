"""docs/sending.md, read by a machine: its files are the collector's, its commands are run, and each is answered as it says."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.broker import Broker
from tests.integration.collector_process import LINK_KEY, TOKEN, CollectorProcess
from tests.integration.curl import required_curl
from tests.integration.log import create_topics, read_log
from tests.unit.collector.support import decode

PAGE = (Path(__file__).parents[2] / "docs" / "sending.md").read_text()
SECRET = "the-new-secret-of-acme"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r"^HTTP/[\d.]+ (\d+)", re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [content for name, content in BLOCK.findall(PAGE) if name == language]


def configuration(key: str) -> dict[str, object]:
    """The JSON example that has ``key`` at its top."""
    found: list[dict[str, object]] = []
    for text in blocks("json"):
        if "…" not in text and key in (content := json.loads(text)):
            found.append(content)
    assert len(found) == 1, f"{len(found)} examples of {key}"
    return found[0]


COMMANDS = [command for command in blocks("sh") if "curl" in command]


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CollectorProcess]:
    folder = tmp_path_factory.mktemp("sending")
    partners = folder / "partners.json"
    partners.write_text(json.dumps(configuration("acme")))
    with Broker(folder / "broker") as broker:
        create_topics(broker.bootstrap)
        links = configuration("shop")
        settings = {"partners_file": str(partners), "links": links}
        with CollectorProcess(broker.bootstrap, folder / "collector.log", **settings) as collector:
            collector.await_status("/readyz", 200)
            yield collector


def test_there_are_examples_of_every_door() -> None:
    text = "\n".join(COMMANDS)
    for path in ("/i.gif", "/c ", "/c/shop", "/lead", "/postback", "/events"):
        assert f"8080{path}" in text, path


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_a_command_does_what_the_page_says(collector: CollectorProcess, command: str) -> None:
    required_curl()
    port = collector.settings["port"]
    environ = {"PATH": os.environ["PATH"], "TOKEN": TOKEN, "LINK_KEY": LINK_KEY, "SECRET": SECRET}
    before = len(read_log(collector.settings["bootstrap"]))
    run = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace("8080", str(port))],
        env=environ,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert run.returncode == 0, run.stderr
    statuses = STATUS.findall(run.stdout)
    assert statuses and set(statuses) <= {"200", "302", "303"}, run.stdout
    records = read_log(collector.settings["bootstrap"])
    assert len(records) > before
    acknowledged = re.findall(r"^x-funnel-event-id: (\S+)", run.stdout, re.MULTILINE)
    assert set(acknowledged) <= {decode(entry.record)["event_id"] for entry in records}
