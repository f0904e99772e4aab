"""Settings of the collector; read from the environment elsewhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from collector.partners import Partner
from schemas.bounds import DEFAULTS, Bounds
from schemas.remote import RegistrySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectorSettings:
    """All that the collector can be told. Secrets do not show in ``repr``.

    ``tokens``: bearer tokens of ``POST /events``; without one that door is shut. ``email_key``: key of the hashes of e-mail addresses and
    telephone numbers; without it both are refused. ``phone_region``: the country whose numbers may come without their country code.
    ``query_parameters``: names (lower case) that recorded URLs keep beside those we know. ``link_keys``: the keys that may have signed a
    redirect target (several while they are rotated). ``links``: configured redirect targets by name, as ``collector.links.load_links``
    returns them. ``trusted_proxies``: networks (CIDR) whose X-Forwarded-For is believed. ``origins``: whose pages may read answers, as
    ``collector.cors.check_origin`` passes them. ``tls_cert`` and ``tls_key``: PEM files, both or neither. ``partners``: those that may send
    postbacks, as ``collector.partners.load_partners`` returns them; a signature's time may differ by ``postback_tolerance_seconds``.
    ``metrics_port`` 0: no metrics are served. ``read_seconds``: how long head and body of a request may each take. ``rate_per_address``,
    ``rate_per_key``: requests a second from one client address, and with one token or of one partner; 0: no limit.
    ``http2``: HTTP/2 is spoken, too. ``spool_dir``: where events are kept while the broker is away, at most ``spool_max_bytes``, in files of
    ``spool_segment_bytes``; empty: nowhere, they get 503. ``bounds``: what amounts and times are held against.
    """

    bootstrap: str
    host: str = "127.0.0.1"
    port: int = 8080
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    topic_prefix: str = ""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    email_key: str = field(default="", repr=False)
    phone_region: str = ""
    query_parameters: tuple[str, ...] = ()
    link_keys: tuple[str, ...] = field(default=(), repr=False)
    links: Mapping[str, str] = field(default_factory=dict)
    partners: Mapping[str, Partner] = field(default_factory=dict)
    postback_tolerance_seconds: int = 300
    trusted_proxies: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    cookie_secure: bool = True
    cookie_days: int = 365
    http2: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    max_body_bytes: int = 1 << 20
    max_events: int = 1000
    read_seconds: float = 10.0
    rate_per_address: float = 0.0
    rate_per_key: float = 0.0
    ack_wait_seconds: float = 5.0
    retry_after_seconds: int = 1
    linger_ms: float = 2.0
    queue_messages: int = 100_000
    drain_seconds: float = 10.0
    spool_dir: str = ""
    spool_max_bytes: int = 1 << 30
    spool_segment_bytes: int = 8 << 20
    bounds: Bounds = DEFAULTS
    registry: RegistrySettings = field(default_factory=RegistrySettings)
