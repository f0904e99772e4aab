"""The examples of docs/bi.md, run as they stand there: curl, Python and Node ask a stack as the reader."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.costs import read_costs
from deploy.settings import clickhouse_settings
from deploy.show import curl_line
from sinks.clickhouse.client import connect
from tests.contract.node import node_modules, required_node
from tests.integration.curl import required_curl
from tests.integration.third_party_python import third_party_python
from tests.support import ROOT, Running

PAGE = (ROOT / "docs" / "bi.md").read_text()
LOCK = ROOT / "tests" / "contract" / "bi" / "requirements.lock"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def examples(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Broker and ClickHouse over a `.funnel`, tables in it, nothing sent."""
    running = Running(tmp_path_factory.mktemp("bi") / ".funnel")
    try:
        running.start()
        yield running
    finally:
        running.stack.stop()


def ask(running: Running, command: list[str | Path]) -> str:
    """Run a command where `.funnel` is."""
    done = subprocess.run(
        command, cwd=running.stack.directory.parent, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(running: Running, text: str) -> str:
    """An example with the port of this stack."""
    assert "8123" in text
    return text.replace("8123", str(running.stack.clickhouse.http_port))


def test_the_page_has_examples() -> None:
    assert [len(examples(name)) for name in ("sh", "python", "js", "csv")] == [2, 2, 1, 1]
    assert len(BLOCKS) == 6


def test_the_costs_are_read() -> None:
    [cost] = read_costs(examples("csv")[0].splitlines())
    assert (cost.campaign, cost.currency) == ("spring", "EUR")


def testcurl_line(stack: Running) -> None:
    required_curl()
    first, second = (ask(stack, ["bash", "-c", here(stack, text)]) for text in examples("sh"))
    assert first == ""
    assert second == '"clicks"\n0\n'


def test_the_line_that_funnel_up_prints(stack: Running) -> None:
    required_curl()
    line = curl_line(stack.stack)
    assert (
        json.loads((stack.stack.directory / "secrets.json").read_text())["clickhouse_reader_password"]
        not in line
    )
    assert ask(stack, ["bash", "-c", line.replace("curl ", "curl -sS --fail-with-body ", 1)]) == ""


def test_python(stack: Running) -> None:
    python = third_party_python(LOCK)
    first, second = (ask(stack, [python, "-I", "-c", here(stack, text)]) for text in examples("python"))
    assert first.strip() == "[]"
    views, clicks = second.splitlines()
    assert {"clicks", "conversions", "funnel_minute"} <= set(json.loads(views.replace("'", '"')))
    assert clicks == "0"


def test_node(stack: Running, tmp_path: Path) -> None:
    node = required_node()
    folder = stack.stack.directory.parent
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(node_modules() / "node_modules")
    [text] = examples("js")
    script = folder / "example.mjs"
    script.write_text(here(stack, text))
    assert "clicks" in ask(stack, [node, script])


def test_the_reader_sees_what_the_owner_wrote_and_changes_nothing(stack: Running) -> None:
    curl = [required_curl(), "-q", "-sS", "--noproxy", "*", "-K", stack.stack.curl_options]
    url = stack.stack.clickhouse.http_url
    assert stack.stack.curl_options.stat().st_mode & 0o777 == 0o600
    connection = connect(clickhouse_settings(stack.values))
    try:
        tables = sorted(str(row[0]) for row in connection.query("SHOW TABLES"))
    finally:
        connection.close()
    shown = ask(stack, [*curl, url, "--data-binary", "SHOW TABLES"])
    assert sorted(shown.split()) == tables
    assert "ACCESS_DENIED" in ask(stack, [*curl, url, "--data-binary", "TRUNCATE TABLE journal"])
