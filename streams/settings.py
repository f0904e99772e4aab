"""What a worker can be told."""

from dataclasses import dataclass, field

from schemas.attribution import Models, default_models
from schemas.bounds import DEFAULTS, Bounds
from schemas.remote import RegistrySettings

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Settings of one worker. Times in the unit the name ends in; sizes in rows or bytes."""

    bootstrap: str
    group: str = "funnel"
    session_timeout_seconds: float = 6.0
    fetch_wait_ms: int = 50
    fetch_min_bytes: int = 64 * 1024
    fetch_bytes: int = 2 * 1024 * 1024
    flush_rows: int = 50_000
    flush_ms: int = 500
    dedup_window_ms: int = DAY_MS
    hot_window_ms: int = DAY_MS
    models: Models = field(default_factory=default_models)
    person_limit: int = 20
    bounds: Bounds = DEFAULTS
    max_ids: int = 100_000_000
    align_slack_ms: int = 2_000
    align_hold_ms: int = 3_000
    derive_seconds: float = 1.0
    derive_coarse_seconds: float = 30.0
    stop_seconds: float = 20.0
    stall_seconds: float = 600.0
    ready_seconds: float = 15.0
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    geo_country_mmdb: str = ""
    geo_asn_mmdb: str = ""
    accept_log_loss: bool = False
    registry: RegistrySettings = field(default_factory=RegistrySettings)
