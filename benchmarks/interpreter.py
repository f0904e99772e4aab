"""Which Python a benchmark ran on: one built without profile-guided optimisation takes a third longer."""

import platform
import sys


def interpreter() -> str:
    """Return the version, and where it is installed; builds do not all say how they were optimised."""
    return f"{platform.python_version()} in {sys.base_prefix}"
