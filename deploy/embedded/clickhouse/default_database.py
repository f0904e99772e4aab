"""A lasting `default` database for engines that do not bring one.

chDB of engine 24.8 makes `default` a makeshift database that forgets its tables at exit, cannot exchange them,
and is in the way of a real one at the next start. So the real one is called REAL while the engine starts, and
then takes the place of the makeshift one. Every step may be interrupted: the next start finds either name.
"""

import os
from collections.abc import Callable
from pathlib import Path

NAME = "default"
REAL = "default_of_front"


def put_aside(path: Path) -> None:
    """Before the engine starts: let the real database go by its other name."""
    metadata = path / "metadata"
    for suffix in ("", ".sql"):
        if os.path.lexists(metadata / (NAME + suffix)):
            (metadata / (NAME + suffix)).rename(metadata / (REAL + suffix))


def put_back(run: Callable[[str], object], path: Path) -> None:
    """After the engine has started: replace the makeshift database by the real one, or by a new one."""
    run(f"DROP DATABASE {NAME}")
    if (path / "metadata" / f"{REAL}.sql").exists():
        run("SET check_table_dependencies = 0, check_referential_table_dependencies = 0")
        run(f"RENAME DATABASE {REAL} TO {NAME}")
        run("SET check_table_dependencies = DEFAULT, check_referential_table_dependencies = DEFAULT")
    else:
        run(f"CREATE DATABASE {NAME} ENGINE = Atomic")
