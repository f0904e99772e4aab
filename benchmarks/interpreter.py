"""Which Python a benchmark ran on: one built without optimisation takes a third longer."""

import platform
import sysconfig


def interpreter() -> str:
    """Return the version, and whether it was built with profile-guided optimisation."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    built = "optimised" if "--enable-optimizations" in arguments else "not optimised"
    return f"{platform.python_version()} {built}"
