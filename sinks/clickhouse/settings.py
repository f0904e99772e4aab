"""Where ClickHouse is and how tables are made in it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """Settings of one ClickHouse. ``port`` is that of the native protocol; times in seconds.

    ``cluster`` names a cluster for ``ON CLUSTER``; ``replicated`` chooses the Replicated engines. ``replicas`` are the other replicas of this
    worker's shard as ``host:port``: owners are written to each of them. ``retention_days`` 0 keeps all of the journal for ever; see `retention`.
    """

    host: str = "127.0.0.1"
    port: int = 9000
    user: str = "default"
    password: str = field(default="", repr=False)
    database: str = "default"
    secure: bool = False
    compression: bool = False
    connect_timeout: float = 5.0
    timeout: float = 60.0
    replicated: bool = False
    cluster: str = ""
    replicas: tuple[str, ...] = ()
    retention_days: int = 0
