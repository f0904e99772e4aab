"""Who may import whom. The folders are the architecture: what they say must be true."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("schemas", "streams", "sinks", "collector", "dashboard", "simulator", "deploy", "benchmarks", "tests")
MAY_IMPORT = {
    "schemas": set(),
    "streams": {"schemas", "sinks"},
    "sinks": {"schemas"},
    "collector": {"schemas"},
    "dashboard": {"sinks"},
    "simulator": {"schemas"},
    "deploy": {"schemas", "streams", "sinks", "collector", "dashboard", "simulator"},
    "benchmarks": {"schemas", "streams", "sinks", "collector", "dashboard", "simulator", "deploy"},
}
# A client library has one home per package that talks to the product.
HOMES = {
    "aiokafka": {"streams/transport.py"},
    "faust": {"streams/transport.py", "streams/app.py", "benchmarks/plain_faust.py"},
    "confluent_kafka": {"streams/broker.py", "collector/kafka.py", "simulator/kafka.py"},
    "kafka": {"deploy/topics.py"},
    "clickhouse_driver": {"sinks/clickhouse/client.py", "benchmarks/front.py"},
    "chdb": {"deploy/embedded/clickhouse/engine.py"},
    "pyruhvro": {"streams/steps/decode.py"},
    "ua_parser": {"streams/steps/agent.py", "simulator/oracle/enrich.py"},
    "crawleruseragents": {"streams/steps/agent.py", "simulator/oracle/enrich.py"},
    "maxminddb": {"streams/steps/geo.py", "simulator/oracle/enrich.py"},
    "granian": {"collector/server.py", "benchmarks/hello.py"},
}
IMPURE = {"faust", "aiokafka", "confluent_kafka", "kafka", "clickhouse_driver", "chdb", "os", "time", "socket", "asyncio", "random"}


def modules() -> Iterator[Path]:
    for package in MAY_IMPORT:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the full names of everything that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def heads(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imported(path)}


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_what_it_may(package: str) -> None:
    for path in sorted((ROOT / package).rglob("*.py")):
        foreign = (heads(path) & set(OURS)) - {package} - MAY_IMPORT[package]
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_client_library_has_one_home(library: str) -> None:
    found = {str(path.relative_to(ROOT)) for path in modules() if library in heads(path)}
    assert found <= HOMES[library]


def test_steps_know_no_product_no_clock_and_no_environment() -> None:
    for path in sorted((ROOT / "streams" / "steps").rglob("*.py")):
        names = imported(path)
        assert not heads(path) & IMPURE, path
        ours = {name for name in names if name.partition(".")[0] in OURS}
        assert all(name.startswith(("schemas", "streams.steps")) for name in ours), (path, ours)


def test_the_environment_is_read_at_the_edge_only() -> None:
    for path in modules():
        if path.parts[len(ROOT.parts)] not in ("deploy", "benchmarks"):
            assert "environ" not in path.read_text().replace("environment", ""), path


def test_the_oracle_shares_no_code_with_the_pipeline() -> None:
    for path in sorted((ROOT / "simulator").rglob("*.py")):
        assert heads(path) & set(OURS) <= {"simulator", "schemas"}, path
