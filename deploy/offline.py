"""What commands need that work while no worker runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Members = Callable[[str, str], Sequence[str]]
"""Returns who is in a consumer group, given the bootstrap servers and the group."""


class OfflineError(Exception):
    """What was asked for cannot be done, or not now; the message says why."""


def refuse_live_workers(values: Mapping[str, Any], members: Members) -> None:
    """Raise OfflineError while the group has members. KafkaAway where that cannot be found out.

    A broker that names no members (the embedded one) does not help here; that a worker loses its sources does, everywhere.
    """
    if found := members(values["kafka"], values["group"]):
        raise OfflineError(
            f"workers are running in group {values['group']}: {', '.join(found)}. Stop them first (a killed one is gone after its session "
            f"timeout, {values['session_timeout_seconds']:g} s)."
        )
