"""What `funnel up` runs, written down in its data directory, so that commands in another terminal find it."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deploy.private import write_private

FILE = "running.json"


class Running(NamedTuple):
    """A running stack: the FUNNEL_* variables that lead to its parts (secrets among them), and where its metrics are."""

    variables: dict[str, str]
    metrics: list[str]


@contextmanager
def written_down(directory: Path, variables: Mapping[str, str], metrics: Sequence[str]) -> Iterator[None]:
    """Note the stack in ``directory`` as long as it runs. Raises OSError."""
    path = directory / FILE
    content = {"pid": os.getpid(), "variables": dict(variables), "metrics": list(metrics)}
    write_private(path, json.dumps(content))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_running(directory: Path) -> Running | None:
    """Return the stack that runs over ``directory``, None without one (also where one was killed and left its note)."""
    try:
        content = json.loads((directory / FILE).read_text())
        os.kill(content["pid"], 0)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return Running(content["variables"], content["metrics"])
