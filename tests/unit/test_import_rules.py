"""Who may import whom: the layout is the architecture, so a wrong import is a failing test."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("schemas", "streams", "sinks", "collector", "dashboard", "simulator", "deploy", "benchmarks", "tests")
PRODUCT = ("schemas", "streams", "sinks", "collector", "dashboard", "simulator", "deploy")

MAY_IMPORT = {
    "schemas": set[str](),
    "streams": {"schemas", "sinks"},
    "sinks": {"schemas"},
    "collector": {"schemas"},
    "dashboard": {"schemas", "sinks"},
    "simulator": {"schemas"},
    "deploy": {"schemas", "streams", "sinks", "collector", "dashboard", "simulator"},
}
"""What each package may import besides itself."""

HOMES = {
    ("streams", "faust"): {"streams/app.py", "streams/transport.py"},
    ("streams", "aiokafka"): {"streams/transport.py"},
    ("streams", "confluent_kafka"): {"streams/broker.py"},
    ("streams", "pyruhvro"): {"streams/steps/decode.py", "streams/steps/encode.py"},
    ("streams", "ua_parser"): {"streams/steps/agent.py"},
    ("streams", "crawleruseragents"): {"streams/steps/agent.py"},
    ("streams", "maxminddb"): {"streams/steps/geo.py"},
    ("sinks", "clickhouse_driver"): {"sinks/clickhouse/client.py"},
    ("collector", "confluent_kafka"): {"collector/kafka.py"},
    ("collector", "granian"): {"collector/server.py"},
    ("dashboard", "granian"): {"dashboard/server.py"},
    ("simulator", "confluent_kafka"): {"simulator/kafka.py"},
    ("simulator", "ua_parser"): {"simulator/oracle/enrich.py"},
    ("simulator", "crawleruseragents"): {"simulator/oracle/enrich.py"},
    ("simulator", "maxminddb"): {"simulator/oracle/enrich.py"},
    ("deploy", "chdb"): {"deploy/embedded/clickhouse/engine.py"},
    ("deploy", "aiohttp"): {"deploy/embedded/clickhouse/http/server.py"},
    ("deploy", "confluent_kafka"): {"deploy/embedded/existing.py"},
    ("deploy", "kafka"): {"deploy/topics.py"},
}
"""The home of each client library in each package. Faust's transport has to be a subclass, apart from the agent; hence two."""
LIBRARIES = {library for _, library in HOMES}

IMPURE = {
    *("faust", "aiokafka", "confluent_kafka", "kafka", "clickhouse_driver", "chdb", "granian"),
    *("os", "time", "random", "secrets", "socket", "subprocess", "threading", "asyncio", "logging"),
    *("httpx", "prometheus_client", "sinks"),
}
"""What no step may import: the outside world, the clock and chance. ``datetime`` is looked at by its calls."""
CLOCK_CALLS = {"now", "utcnow", "today"}


def python_files(package: str) -> list[Path]:
    """All modules of ``package``."""
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the dotted names that a module imports, anywhere in it, with their lines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield f"{_absolute(path, node)}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and _is_import_call(node):
            argument = node.args[0]
            # A module's name that is computed cannot be checked, so nobody may compute one.
            yield (str(argument.value) if isinstance(argument, ast.Constant) else "?"), node.lineno


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parent = path.relative_to(ROOT).parts[: -node.level]
    return ".".join([*parent, *([node.module] if node.module else [])])


def _is_import_call(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__") and bool(node.args)


def top(name: str) -> str:
    """The top-level package of a dotted name."""
    return name.partition(".")[0]


def where(path: Path, line: int) -> str:
    """How a finding is shown."""
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("package", PRODUCT)
def test_packages_import_only_what_the_table_allows(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{where(path, line)} imports {name}"
        for path in python_files(package)
        for name, line in imports(path)
        if top(name) == "?" or (top(name) in OURS and top(name) not in allowed)
    ]
    assert python_files(package)
    assert wrong == []


def test_nobody_imports_the_tests_but_tests() -> None:
    wrong = [
        where(path, line)
        for package in (*PRODUCT, "benchmarks")
        for path in python_files(package)
        for name, line in imports(path)
        if top(name) == "tests"
    ]
    assert wrong == []


@pytest.mark.parametrize("package", PRODUCT)
def test_client_libraries_have_one_home_per_package(package: str) -> None:
    found: dict[tuple[str, str], set[str]] = {}
    for path in python_files(package):
        for name, _ in imports(path):
            if top(name) in LIBRARIES:
                found.setdefault((package, top(name)), set()).add(path.relative_to(ROOT).as_posix())
    strays = {key: homes - HOMES.get(key, set()) for key, homes in found.items()}
    assert {key: homes for key, homes in strays.items() if homes} == {}


def test_every_home_in_the_table_is_lived_in() -> None:
    empty = [
        home
        for (_, library), homes in HOMES.items()
        for home in homes
        if not any(top(name) == library for name, _ in imports(ROOT / home))
    ]
    assert empty == []


def test_steps_are_pure() -> None:
    wrong = [
        f"{where(path, line)} imports {name}"
        for path in python_files("streams/steps")
        for name, line in imports(path)
        if top(name) in IMPURE or (top(name) == "streams" and not name.startswith("streams.steps"))
    ]
    assert wrong == []


def test_steps_do_not_look_at_the_clock() -> None:
    wrong = [
        where(path, node.lineno)
        for path in python_files("streams/steps")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in CLOCK_CALLS
    ]
    assert wrong == []


ENVIRONMENT_READERS = {
    "deploy/cli.py",  # hands the environment to deploy/settings.py
    "deploy/embedded/clickhouse/__main__.py",  # its password, which a command line would show to everybody
    "deploy/embedded/clickhouse/supervised.py",  # passes on to that process what it was given itself
    "sinks/clickhouse/__init__.py",  # sets what the driver reads when it is imported
}


def test_few_know_the_environment() -> None:
    readers = {
        path.relative_to(ROOT).as_posix()
        for package in PRODUCT
        for path in python_files(package)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv"))
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    }
    assert readers == ENVIRONMENT_READERS


def test_the_oracle_shares_no_code_with_the_pipeline() -> None:
    names = {top(name) for path in python_files("simulator") for name, _ in imports(path)}
    assert not names & {"streams", "sinks", "collector", "deploy"}


def test_relative_and_computed_imports_are_seen(tmp_path: Path) -> None:
    module = ROOT / "streams" / "steps" / "example.py"
    node = ast.parse("from ..state import ids").body[0]
    assert isinstance(node, ast.ImportFrom)
    assert _absolute(module, node) == "streams.state"
    file = tmp_path / "computed.py"
    file.write_text(
        "import importlib\nimportlib.import_module('a' + 'b')\nimportlib.import_module('streams.app')\n"
    )
    assert [name for name, _ in imports(file)] == ["importlib", "?", "streams.app"]
