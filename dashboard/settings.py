"""What the live page can be told."""

import ipaddress
from dataclasses import dataclass, field

from sinks.clickhouse.settings import ClickHouseSettings


@dataclass(frozen=True, slots=True)
class DashboardSettings:
    """Settings of the live page. ``password`` empty: nobody is asked for one, which is allowed on a loopback address only. Times in seconds.
    ``metrics_port`` 0: no metrics are served. ``person_limit``: visitors that one person may have."""

    host: str = "127.0.0.1"
    port: int = 8090
    password: str = field(default="", repr=False)
    clickhouse: ClickHouseSettings = field(default_factory=ClickHouseSettings)
    cookie_secure: bool = True
    session_seconds: int = 12 * 3600
    refresh_seconds: float = 1.0
    lag_seconds: float = 30.0
    silent_seconds: float = 300.0
    most_streams: int = 64
    person_limit: int = 20
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0

    def __post_init__(self) -> None:
        if not self.password and not is_loopback(self.host):
            raise ValueError(f"a password is needed to listen on {self.host}, which is no loopback address")


def is_loopback(host: str) -> bool:
    """Return whether ``host`` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
