"""`funnel up`: everything embedded, on one machine, in one command."""

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from deploy.embedded.stack import Stack
from deploy.embedded.supervise import ChildFailed
from deploy.initialise import initialise
from deploy.running import written_down
from deploy.settings import PREFIX, TEST_PREFIX, read_settings
from deploy.show import show_addresses, show_funnel
from deploy.simulation import simulate
from deploy.spooled import wait_until_sent
from deploy.verification import wait_and_verify

ACKNOWLEDGED = "acknowledged.txt"


class Exercise(NamedTuple):
    """What to do with a stack that has been started: send that many simulated events, and verify them or not."""

    events: int
    seed: int
    verify: bool


def up(
    values: Mapping[str, Any], environ: Mapping[str, str], console: Console, exercise: Exercise, stay: bool
) -> int:
    """Start everything, do the exercise; return the exit status. ``stay``: then run until Ctrl-C."""
    directory = Path(values["data_dir"]).resolve()
    port = _port("port", "the collector", values, environ, console)
    http_port = _port("clickhouse_http_port", "ClickHouse's HTTP interface", values, environ, console)
    page_port = _port("dashboard_port", "the live page", values, environ, console)
    stack = Stack(
        directory,
        _inherited(environ),
        port=port,
        dashboard_port=page_port,
        clickhouse_http_port=http_port,
    )
    try:
        settings = _start(stack, console)
        with written_down(directory, _variables(stack), list(stack.metrics.values())):
            problems = _exercise(stack, settings, console, exercise)
            show_addresses(console, stack, settings)
            console.print(f"live page: {stack.dashboard_url}", highlight=False, soft_wrap=True)
            # Last, too: whoever sees the end of a log only sees why it failed.
            for problem in problems:
                console.print(
                    f"not verified: {problem}", style="red", markup=False, highlight=False, soft_wrap=True
                )
            if stay:
                _keep_running(stack, console)
            stack.check()
        return 1 if problems else 0
    except ChildFailed as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        with console.status("stopping"):
            stack.stop()


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What children inherit: everything but what belongs to tests."""
    return {name: value for name, value in environ.items() if not name.startswith(TEST_PREFIX)}


def _port(
    name: str, part: str, values: Mapping[str, Any], environ: Mapping[str, str], console: Console
) -> int:
    """The port that was asked for; if none was and the usual one is taken, 0: any."""
    if PREFIX + name.upper() in environ or _is_free(values[name]):
        return int(values[name])
    console.print(f"port {values[name]} is taken: {part} listens on another one")
    return 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _variables(stack: Stack) -> dict[str, str]:
    return {name: value for name, value in stack.settings().items() if name.startswith(PREFIX)}


def _start(stack: Stack, console: Console) -> dict[str, Any]:
    with console.status("starting broker and ClickHouse"):
        stack.start_servers()
    settings = read_settings(_variables(stack))
    for line in initialise(settings):
        console.print(line)
    with console.status("starting collector and worker"):
        stack.start_collector()
        stack.start_worker()
        stack.start_dashboard()
    console.print("collector and worker: ready")
    return settings


def _exercise(stack: Stack, settings: Mapping[str, Any], console: Console, exercise: Exercise) -> list[str]:
    if not exercise.events:
        return []
    acknowledged = stack.directory / ACKNOWLEDGED
    acknowledged.unlink(missing_ok=True)
    simulate(
        settings,
        console,
        events=exercise.events,
        seed=exercise.seed,
        via="collector",
        mess=True,
        url=stack.collector_url,
        acknowledged=acknowledged,
        watch=stack.check,
    )
    wait_until_sent(stack.metrics["collector"], stack.check)
    problems = wait_and_verify(settings, console, acknowledged, stack.check) if exercise.verify else []
    show_funnel(console, settings)
    return problems


def _keep_running(stack: Stack, console: Console) -> None:
    console.print("running until Ctrl-C")
    while True:
        stack.check()
        time.sleep(0.5)
