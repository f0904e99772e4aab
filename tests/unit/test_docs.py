"""What documents say of tests is true, and what is said of documents."""

import re
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
GUARANTEES = ROOT / "docs" / "guarantees.md"
FOLDERS = (
    "benchmarks",
    "collector",
    "dashboard",
    "deploy",
    "docs",
    "schemas",
    "simulator",
    "sinks",
    "streams",
    "tests",
)
OPERATIONS = ROOT / "docs" / "operations.md"


def named() -> set[tuple[str, str]]:
    """File and name of each test that the table of cases names; `::name` means the file before it in its row."""
    found = set()
    for line in GUARANTEES.read_text().splitlines():
        path = ""
        for one, name in re.findall(r"`(tests/[\w/]+\.py)?::(\w+)`", line):
            path = one or path
            found.add((path, name))
    return found


def texts() -> list[Path]:
    """What we wrote: documents, code, and what is configured."""
    kinds = {".md", ".py", ".yml", ".yaml", ".toml", ".js", ".html", ".service"}
    found = [path for path in ROOT.glob("*") if path.is_file()]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts]
    return [path for path in found if path.suffix in kinds]


def test_every_document_that_is_named_is_there() -> None:
    mentions = {
        (str(path.relative_to(ROOT)), name)
        for path in texts()
        for name in re.findall(r"(?<![\w/.])docs/[\w/-]+\.md", path.read_text())
    }
    assert len(mentions) > 20
    assert [(path, name) for path, name in sorted(mentions) if not (ROOT / name).is_file()] == []


def test_operators_learn_of_every_volume() -> None:
    volumes = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["volumes"]
    [paragraph] = re.findall(r"\*\*Where things are\.\*\*.*?(?=\n\* )", OPERATIONS.read_text(), re.DOTALL)
    assert {name for name in volumes if f"`{name}`" not in paragraph} == set()


def test_every_test_that_is_named_is_there() -> None:
    assert len(named()) > 30
    missing = [(path, name) for path, name in named() if f"def {name}(" not in (ROOT / path).read_text()]
    assert missing == []
