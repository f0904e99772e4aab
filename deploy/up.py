"""`funnel up`: everything embedded, on one machine, in one command."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.embedded.stack import Stack
from deploy.embedded.supervise import ChildFailed
from deploy.initialise import initialise
from deploy.settings import PREFIX, TEST_PREFIX, read_settings
from deploy.show import show_addresses, show_funnel
from deploy.simulation import simulate
from deploy.top import ADDRESSES
from deploy.verification import wait_and_verify

ACKNOWLEDGED = "acknowledged.txt"


def up(
    values: Mapping[str, Any],
    environ: Mapping[str, str],
    console: Console,
    events: int,
    seed: int,
    verify: bool,
) -> int:
    """Start everything, send ``events`` simulated events, verify if asked; return the exit status.

    On a terminal it then runs until Ctrl-C.
    """
    directory = Path(values["data_dir"]).resolve()
    stack = Stack(directory, _inherited(environ), port=values["port"])
    try:
        settings = _start(stack, console)
        good = _exercise(stack, settings, console, events, seed, verify)
        show_addresses(console, stack, settings)
        if sys.stdin.isatty() and sys.stdout.isatty():
            _keep_running(stack, console)
        return 0 if good and not stack.failed() else 1
    except ChildFailed as error:
        console.print(f"[red]{error}[/]", highlight=False)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        stack.stop()
        (directory / ADDRESSES).unlink(missing_ok=True)


def _inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """What children inherit: everything but what belongs to tests."""
    return {name: value for name, value in environ.items() if not name.startswith(TEST_PREFIX)}


def _start(stack: Stack, console: Console) -> dict[str, Any]:
    with console.status("starting broker and ClickHouse"):
        stack.start_servers()
    variables = {name: value for name, value in stack.settings().items() if name.startswith(PREFIX)}
    settings = read_settings(variables)
    for line in initialise(settings):
        console.print(line)
    with console.status("starting collector and worker"):
        stack.start_collector()
        stack.start_worker()
    addresses = [process.metrics for process in stack.processes.values()]
    (stack.directory / ADDRESSES).write_text("\n".join(addresses) + "\n")
    console.print("collector and worker: ready")
    return settings


def _exercise(
    stack: Stack, settings: Mapping[str, Any], console: Console, events: int, seed: int, verify: bool
) -> bool:
    if not events:
        return True
    acknowledged = stack.directory / ACKNOWLEDGED
    acknowledged.unlink(missing_ok=True)
    simulate(
        settings,
        console,
        events=events,
        seed=seed,
        via="collector",
        mess=True,
        url=stack.collector_url,
        acknowledged=acknowledged,
    )
    good = wait_and_verify(settings, console, acknowledged) if verify else True
    show_funnel(console, settings)
    return good


def _keep_running(stack: Stack, console: Console) -> None:
    console.print("running until Ctrl-C")
    while not stack.failed():
        time.sleep(0.5)
    for child in stack.failed():
        console.print(f"[red]{child.name} has ended; its log is {child.log}[/]", highlight=False)
